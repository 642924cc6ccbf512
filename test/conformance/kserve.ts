import { InferResult } from '../support/triton.ts';
import { type BodyTensor, tensorBytes } from './arrays.ts';
import type { CaseTensor } from './cases.ts';
import type { Format } from './formats.ts';

const DATATYPE: Readonly<Record<CaseTensor['dtype'], string>> = {
  float32: 'FP32',
  float64: 'FP64',
  float16: 'FP16',
  bfloat16: 'BF16',
  bool: 'BOOL',
  int32: 'INT32',
  int64: 'INT64',
};

/** Every tensor of the body as an input with its bytes, and the rest as parameters, objects among them as JSON strings. */
export const kserve: Format = {
  name: 'kserve',
  request: (path, body) => {
    const inputs: object[] = [];
    const parts: Uint8Array[] = [];
    const options = withoutTensors(body, '', (name, tensor) => {
      const bytes = tensorBytes(tensor);
      const { dtype, shape } = tensor;
      inputs.push({ name, shape, datatype: DATATYPE[dtype], parameters: { binary_data_size: bytes.length } });
      parts.push(bytes);
    });
    const parameters = Object.fromEntries(
      Object.entries(options).map(([name, value]) => [
        name,
        typeof value === 'object' ? JSON.stringify(value) : value,
      ]),
    );
    const json = Buffer.from(
      JSON.stringify({ inputs, parameters: { ...parameters, binary_data_output: true } }),
    );
    return {
      path: modelPath(path),
      headers: { 'inference-header-content-length': String(json.length) },
      body: Buffer.concat([json, ...parts]),
    };
  },
  results: ({ body, headers }) => {
    const result = new InferResult(body, String(headers['inference-header-content-length']));
    const { outputs, parameters = {} } = result.response;
    const tensors = outputs.map(({ name, datatype }) => {
      const { shape, values } = result.asNumpy(name);
      const dtype = datatype === 'FP64' ? 'float64' : 'float32';
      const data = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
      return [name, { dtype, shape, data: Buffer.from(data.buffer).toString('base64') }];
    });
    return { ...Object.fromEntries(tensors), applied: JSON.parse(String(parameters.applied)) };
  },
};

/** `/v1/a/b` is the model `a-b`. */
function modelPath(path: string): string {
  return `/v2/models/${path.replace('/v1/', '').replaceAll('/', '-')}/infer`;
}

/** A copy of an object of the body without its tensors and what is empty without them; tensors are told by their path. */
function withoutTensors(
  object: object,
  path: string,
  found: (path: string, tensor: BodyTensor) => void,
): Record<string, unknown> {
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(object)) {
    const below = path === '' ? name : `${path}.${name}`;
    if (isTensor(value)) {
      found(below, value);
      continue;
    }
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    const kept = isObject ? withoutTensors(value, below, found) : value;
    if (!isObject || Object.keys(kept).length > 0) rest[name] = kept;
  }
  return rest;
}

function isTensor(value: unknown): value is BodyTensor {
  return typeof value === 'object' && value !== null && 'shape' in value && 'data' in value;
}
