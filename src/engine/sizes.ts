import type { Answer } from '../domain/answer.ts';
import type { Plan } from '../kernels/kernel.ts';
import { planBytes } from '../kernels/memory.ts';
import type { EncodeOptions } from '../wire/format.ts';
import { formatNamed } from '../wire/registry.ts';
import type { CallRequest } from './request.ts';

/*
 * How large bodies and answers are: which of them the event loop reads and writes itself, and how much memory they take.
 */

/** Reading or writing this much takes well below a millisecond, and less than the way to a worker and back. */
export const SMALL_BODY_BYTES = 32 * 1024;
const SMALL_ANSWER_ELEMENTS = 2048;
/** Raw numbers pass at several gigabytes a second: this much takes some tenths of a millisecond. */
const SMALL_RAW_BYTES = 2 * 1024 * 1024;
/** As text, the results of a plan of so many bytes take no more than two milliseconds to write. */
const SMALL_TEXT_BYTES = 512 * 1024;

/** What a float32 takes by itself, and about what it takes as JSON, with its comma. */
export const FLOAT32_BYTES = 4;
export const NUMBER_ROOM = 13;
/** Of a body of JSON, its tensors take no more than this in float32, unless most numbers have one or two digits. */
const LENT_SHARE = 0.75;
/** What stands around the numbers of an answer. */
const ANSWER_ROOM = 4096;

type Body = Pick<CallRequest, 'format' | 'bytes' | 'inference'>;

/** Whether the numbers of a body need no decoding. */
export function isRawBody({ format, inference }: Body): boolean {
  return formatNamed(format).readsRaw?.(inference) === true;
}

function isRawAnswer(format: string, options: EncodeOptions): boolean {
  return formatNamed(format).writesRaw?.(options) === true;
}

/** Whether a body is read on the event loop. */
export function isReadHere(body: Body): boolean {
  return body.bytes.byteLength <= (isRawBody(body) ? SMALL_RAW_BYTES : SMALL_BODY_BYTES);
}

/**
 * How much memory is lent to whoever reads a body: for what is decoded, and for the answer, which is about as long as the
 * body.
 */
export function lentBytes(body: Body): number {
  const { byteLength } = body.bytes;
  return isRawBody(body) ? byteLength + ANSWER_ROOM : roomBeside(byteLength);
}

/** The same for a body whose format is not known yet. */
export function roomBeside(bodyBytes: number): number {
  return Math.ceil(bodyBytes * (1 + LENT_SHARE)) + ANSWER_ROOM;
}

/** How much memory is lent to whoever writes an answer: 0 where its one tensor has room for what stands before it. */
export function answerRoom(format: string, answer: Answer, options: EncodeOptions): number {
  if (!isRawAnswer(format, options)) return ANSWER_ROOM + answerElements(answer) * NUMBER_ROOM;
  const [{ room = 0 }, ...others] = Object.values(answer.tensors);
  return others.length === 0 && room >= ANSWER_ROOM ? 0 : ANSWER_ROOM + rawBytes(answer);
}

/** Whether a plan has results that are written on the event loop, if the rest of it is done there too. */
export function isFinishedHere(plan: Plan, format: string, options: EncodeOptions): boolean {
  return planBytes(plan) <= (isRawAnswer(format, options) ? SMALL_RAW_BYTES : SMALL_TEXT_BYTES);
}

/** Whether an answer is written on the event loop. */
export function isWrittenHere(format: string, answer: Answer, options: EncodeOptions): boolean {
  const most = isRawAnswer(format, options) ? SMALL_RAW_BYTES / FLOAT32_BYTES : SMALL_ANSWER_ELEMENTS;
  return answerElements(answer) <= most;
}

function rawBytes({ tensors }: Answer): number {
  return Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
}

/** Numbers in all tensors of an answer. */
export function answerElements({ tensors }: Answer): number {
  return Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
}
