import type { Answer } from '../../domain/answer.ts';
import { assertAllWritable } from '../finite.ts';
import { answerBytes } from '../shared-memory.ts';
import type { StoredTensor } from './read.ts';
import { STORED_AS } from './stored-dtypes.ts';
import { joinedBytes, joinInto, safetensorsParts } from './write.ts';

/** Where the rest of the answer stands in the metadata. */
const RESPONSE = 'response';

/** Answers whose tensors are filled again and again: what stands around the numbers, and views on these. */
const known = new WeakMap<Answer, readonly Uint8Array[]>();

/**
 * Encodes an answer as a safetensors file: its tensors by their dotted names, and its envelope as JSON in
 * `__metadata__.response`. A masked logit is -Infinity. Throws where a result holds NaN or Infinity.
 */
export function encodeSafetensors(answer: Answer): Uint8Array {
  for (const { data } of Object.values(answer.tensors)) assertAllWritable(data);
  let parts = known.get(answer);
  if (parts === undefined) {
    parts = partsOf(answer);
    known.set(answer, parts);
  }
  return joinInto(answerBytes(joinedBytes(parts)), parts);
}

function partsOf({ tensors, envelope }: Answer): readonly Uint8Array[] {
  const stored = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    stored.set(name, { dtype: STORED_AS[dtype], shape, bytes });
  }
  return safetensorsParts(stored, { [RESPONSE]: JSON.stringify(envelope) });
}
