import type { StoredTensor } from '../wire/safetensors/read.ts';
import { STORED_AS } from '../wire/safetensors/stored-dtypes.ts';
import { writeSafetensors } from '../wire/safetensors/write.ts';
import { jsonText } from './json-text.ts';
import { JSON_TYPE, SAFETENSORS } from './media-types.ts';
import { type RawTensor, rawTensor } from './raw-tensor.ts';

/** A body as it is sent. */
export interface PackedBody {
  readonly contentType: typeof SAFETENSORS | typeof JSON_TYPE;
  readonly bytes: Uint8Array;
}

/**
 * Most characters of a body that go into the header of a safetensors file besides its tensors: the service takes 256 KiB
 * of header, unless it is told otherwise.
 */
const LONGEST_REST = 64 * 1024;

/**
 * Writes a body as a safetensors file: its tensors by their dotted path, the rest of it as JSON. What stays in the
 * JSON means the same there: short lists, elements that have to be rounded to other types than float32, and whatever
 * the service is to refuse in its own words. Where that is long, all of the body is JSON, with the tensors in base64.
 * @throws {TypeError} where a typed array does not have the elements that its shape and dtype say.
 * @throws {RangeError} where a number of the JSON is NaN or infinite; as bytes it is sent, and the service refuses it.
 */
export function packBody(body: object): PackedBody {
  const tensors = new Map<string, StoredTensor>();
  const rest = withoutTensors(body, ({ dtype, shape, bytes }, path) => {
    tensors.set(path, { dtype: STORED_AS[dtype], shape, bytes });
    return undefined;
  });
  const request = jsonText(rest);
  if (request.length <= LONGEST_REST) {
    return { contentType: SAFETENSORS, bytes: writeSafetensors(tensors, { request }) };
  }
  return { contentType: JSON_TYPE, bytes: Buffer.from(jsonText(withoutTensors(body, inBase64))) };
}

function inBase64({ dtype, shape, bytes }: RawTensor): object {
  const { buffer, byteOffset, byteLength } = bytes;
  return { dtype, shape, data: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
}

/** The body with what `replace` gives in the place of each tensor that can be sent as bytes. */
function withoutTensors(body: object, replace: (tensor: RawTensor, path: string) => unknown): object {
  const visit = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const tensor = rawTensor(value, path);
    if (tensor !== undefined) return replace(tensor, path);
    if (Array.isArray(value) || 'shape' in value) return value;
    const members = Object.entries(value).map(([name, member]) => [
      name,
      visit(member, path === '' ? name : `${path}.${name}`),
    ]);
    return Object.fromEntries(members);
  };
  return visit(body, '') as object;
}
