import { type Part, pack, unpack } from '../support/safetensors.ts';
import { type BodyTensor, tensorBytes } from './arrays.ts';
import type { CaseTensor } from './cases.ts';
import type { Format } from './formats.ts';

const MEDIA_TYPE = 'application/vnd.safetensors';

const STORED: Readonly<Record<CaseTensor['dtype'], string>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  bfloat16: 'BF16',
  bool: 'BOOL',
  int32: 'I32',
  int64: 'I64',
};
const NAMES = new Map(Object.entries(STORED).map(([name, stored]) => [stored, name]));

/** Every tensor of the body by its path in a file, and the rest of the body in the metadata. */
export const safetensors: Format = {
  name: 'safetensors',
  request: (path, body) => {
    const parts: Record<string, Part> = {};
    const request = withoutTensors(body, '', parts);
    return {
      path,
      headers: { 'content-type': MEDIA_TYPE, accept: MEDIA_TYPE },
      body: pack(parts, { request: JSON.stringify(request) }),
    };
  },
  results: ({ body }) => {
    const { parts, metadata } = unpack(body);
    const tensors = Object.entries(parts).map(([name, { dtype, shape, bytes }]) => {
      return [name, { dtype: NAMES.get(dtype), shape, data: Buffer.from(bytes).toString('base64') }];
    });
    return { ...Object.fromEntries(tensors), ...JSON.parse(metadata.response) };
  },
};

/** A copy of an object of the body without its tensors, which become parts. */
function withoutTensors(object: object, path: string, parts: Record<string, Part>): object {
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(object)) {
    const below = path === '' ? name : `${path}.${name}`;
    if (isTensor(value)) {
      parts[below] = { dtype: STORED[value.dtype], shape: value.shape, bytes: tensorBytes(value) };
    } else {
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
      rest[name] = isObject ? withoutTensors(value, below, parts) : value;
    }
  }
  return rest;
}

function isTensor(value: unknown): value is BodyTensor {
  return typeof value === 'object' && value !== null && 'shape' in value && 'data' in value;
}
