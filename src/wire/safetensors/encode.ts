import type { Answer } from '../../domain/answer.ts';
import { assertAllWritable } from '../finite.ts';
import type { StoredTensor } from './read.ts';
import { STORED_AS } from './stored-dtypes.ts';
import { writeSafetensors } from './write.ts';

/** Where the rest of the answer stands in the metadata. */
const RESPONSE = 'response';

/**
 * Encodes an answer as a safetensors file: its tensors by their dotted names, and its envelope as JSON in
 * `__metadata__.response`. A masked logit is -Infinity. Throws where a result holds NaN or Infinity.
 */
export function encodeSafetensors({ tensors, envelope }: Answer): Uint8Array<ArrayBuffer> {
  const stored = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    assertAllWritable(data);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    stored.set(name, { dtype: STORED_AS[dtype], shape, bytes });
  }
  return writeSafetensors(stored, { [RESPONSE]: JSON.stringify(envelope) });
}
