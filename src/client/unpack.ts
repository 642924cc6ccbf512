import { readSafetensors, type StoredTensor } from '../wire/safetensors/read.ts';
import { AttentionResponseError } from './errors.ts';
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
    const result = JSON.parse(response) as Record<string, unknown>;
    for (const [name, tensor] of tensors) place(result, name.split('.'), typed(tensor));
    return result;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AttentionResponseError(`The answer cannot be read: ${reason}`, { cause: error });
  }
}

/** `weights.indices` is the member `indices` of `weights`. */
function place(result: Record<string, unknown>, names: readonly string[], tensor: AnyTensor): void {
  const [name, ...rest] = names;
  if (rest.length === 0) {
    result[name] = tensor;
    return;
  }
  result[name] ??= {};
  place(result[name] as Record<string, unknown>, rest, tensor);
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
