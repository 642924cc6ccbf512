import { readSafetensors, type StoredTensor } from '../wire/safetensors/read.ts';
import { AttentionResponseError, beginningOf } from './errors.ts';
import type { ResultTensor } from './types.ts';

type AnyTensor = ResultTensor | ResultTensor<Int32Array>;

/**
 * Reads an answer: its tensors as typed arrays on the bytes of the answer, at their places in the rest of it.
 * @throws {AttentionResponseError} where it is no safetensors file, or not one of this service.
 */
export function unpackAnswer(answer: ArrayBuffer): object {
  try {
    const { metadata, tensors } = readSafetensors(new Uint8Array(answer));
    const response = metadata.get('response');
    if (response === undefined) throw new TypeError('Expected __metadata__.response; got none');
    const result: unknown = JSON.parse(response);
    if (!isObject(result)) {
      throw new TypeError(`Expected __metadata__.response as an object; got ${beginningOf(response)}`);
    }
    if (!tensors.has('output')) {
      const names = [...tensors.keys()].join(', ');
      throw new TypeError(`Expected a tensor named output; got ${beginningOf(names) || 'none'}`);
    }
    for (const [path, tensor] of tensors) place(result, path, typed(tensor));
    return result;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AttentionResponseError(`The answer cannot be read: ${reason}`, { cause: error });
  }
}

/** `weights.indices` is the member `indices` of `weights`. */
function place(result: Record<string, unknown>, path: string, tensor: AnyTensor): void {
  const dot = path.indexOf('.');
  if (dot < 0) {
    result[path] = tensor;
    return;
  }
  const name = path.slice(0, dot);
  result[name] ??= {};
  place(result[name] as Record<string, unknown>, path.slice(dot + 1), tensor);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typed({ dtype, shape, bytes }: StoredTensor): AnyTensor {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case 'F32':
      return { dtype: 'float32', shape, data: new Float32Array(buffer, byteOffset, byteLength / 4) };
    case 'F64':
      return { dtype: 'float64', shape, data: new Float64Array(buffer, byteOffset, byteLength / 8) };
    case 'I32':
      return { dtype: 'int32', shape, data: new Int32Array(buffer, byteOffset, byteLength / 4) };
    default:
      throw new TypeError(`Expected tensors of F32, F64 and I32; got ${dtype}`);
  }
}
