import type { Answer, AnswerTensor } from '../../domain/answer.ts';
import { assertAllWritable } from '../finite.ts';
import { headedBytes } from '../shared-memory.ts';
import { STORED_AS } from './stored-dtypes.ts';
import { safetensorsHead, widestFirst } from './write.ts';

/** Where the rest of the answer stands in the metadata. */
const RESPONSE = 'response';

/** What stands before the numbers of an answer, and its tensors as they follow. */
interface Frame {
  readonly head: Uint8Array;
  readonly tensors: readonly AnswerTensor[];
}

/** Of answers whose tensors are filled again and again. */
const known = new WeakMap<Answer, Frame>();

/**
 * Encodes an answer as a safetensors file: its tensors by their dotted names, and its envelope as JSON in
 * `__metadata__.response`. A masked logit is -Infinity. Throws where a result holds NaN or Infinity.
 */
export function encodeSafetensors(answer: Answer): Uint8Array {
  for (const { data } of Object.values(answer.tensors)) assertAllWritable(data);
  let frame = known.get(answer);
  if (frame === undefined) {
    frame = frameOf(answer);
    known.set(answer, frame);
  }
  return headedBytes(frame.head, frame.tensors);
}

function frameOf({ tensors, envelope }: Answer): Frame {
  const inOrder = widestFirst(
    Object.entries(tensors).map(([name, tensor]) => {
      const { dtype, shape, data } = tensor;
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [name, { dtype: STORED_AS[dtype], shape, bytes, tensor }] as const;
    }),
  );
  return {
    head: safetensorsHead(inOrder, { [RESPONSE]: JSON.stringify(envelope) }),
    tensors: inOrder.map(([, { tensor }]) => tensor),
  };
}
