import type { Answer } from '../domain/answer.ts';
import type { Encoded, EncodeOptions } from '../wire/format.ts';
import { encoderNamed } from '../wire/registry.ts';
import { lending } from '../wire/shared-memory.ts';
import { answerRoom, isWrittenHere, SMALL_BODY_BYTES } from './sizes.ts';
import type { Steps } from './steps.ts';
import { encodeWork } from './work.ts';

/** Writes an answer, whose tensors lie on shared memory, into memory of the pool; on this thread where it is small. */
export async function encodeStep(
  steps: Steps,
  format: string,
  answer: Answer,
  options: EncodeOptions,
): Promise<Encoded> {
  const write = () => encoderNamed(format)(answer, options);
  const isHere = isWrittenHere(format, answer, options);
  const room = answerRoom(format, answer, options);
  if (isHere && room <= SMALL_BODY_BYTES) return steps.inline('encodeMs', write);
  const memory = steps.takeMemory(room);
  if (isHere) return steps.inline('encodeMs', () => lending(memory, write));
  const item = () => ({ kind: 'encode', format, answer, options, memory }) as const;
  const { result } = steps.timed('encodeMs', await steps.task(encodeWork(format, answer), item));
  if (result.kind !== 'encoded') throw new TypeError('Not encoded bytes.');
  reserveFresh(steps, result.encoded);
  return result.encoded;
}

/** Books an answer that did not fit into the memory that was lent for it. */
export function reserveFresh(steps: Steps, { bytes }: Encoded): void {
  if (!(bytes.buffer instanceof SharedArrayBuffer)) steps.reserve(bytes.byteLength);
}
