import type { AnswerTensor } from '../domain/answer.ts';
import { copyBytes } from './copy-bytes.ts';

/** Tensors begin at multiples of this, as wide as the widest element. */
const ALIGNMENT = 8;

/** Less than this is as soon made as asked for. */
const LEAST_ASKED_BYTES = 64 * 1024;

/** Gives memory that has been used before, as long as there is any. */
type More = (bytes: number) => SharedArrayBuffer;

/** What is left of a block that was lent to this thread for what it decodes and encodes, and where there is more. */
let lent: {
  readonly block: SharedArrayBuffer | undefined;
  used: number;
  readonly more: More | undefined;
} | null = null;

/**
 * Has `run` put the tensors that it decodes and the bytes that it encodes into a block, from byte `from` on and one behind
 * the other, as long as they fit: fresh memory costs the zeroing of its pages and, once done with, a collection. What does
 * not fit gets memory of its own, from `more` where it is given.
 */
export function lending<Result>(
  block: SharedArrayBuffer | undefined,
  run: () => Result,
  { from = 0, more }: { readonly from?: number | undefined; readonly more?: More } = {},
): Result {
  if (block === undefined && more === undefined) return run();
  lent = { block, used: aligned(from), more };
  try {
    return run();
  } finally {
    lent = null;
  }
}

/** Memory for an answer of `count` bytes, which may hold anything: on the lent block, or an ArrayBuffer of its own. */
export function answerBytes(count: number): Uint8Array {
  const place = takeLent(count);
  if (place !== null) return new Uint8Array(place.buffer, place.byteOffset, count);
  // Not from Node's pool, and not zeroed, which takes as long as filling it.
  return new Uint8Array(Buffer.allocUnsafeSlow(count).buffer);
}

/**
 * The bytes of an answer: a head, and the bytes of its tensors behind it. They stay where they are if it has one tensor,
 * with room for the head before it; else all go to memory for an answer.
 */
export function headedBytes(head: Uint8Array, tensors: readonly AnswerTensor[]): Uint8Array {
  const only = tensors.length === 1 ? tensors[0] : undefined;
  if (only !== undefined && (only.room ?? 0) >= head.length) {
    const { buffer, byteOffset, byteLength } = only.data;
    const bytes = new Uint8Array(buffer, byteOffset - head.length, head.length + byteLength);
    bytes.set(head);
    return bytes;
  }
  const bytes = answerBytes(tensors.reduce((sum, { data }) => sum + data.byteLength, head.length));
  bytes.set(head);
  let at = head.length;
  for (const { data } of tensors) {
    copyBytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), bytes, at);
    at += data.byteLength;
  }
  return bytes;
}

/** Shared memory for `count` float32 elements, which may hold anything. */
export function sharedFloat32(count: number): Float32Array {
  const { buffer, byteOffset } = take(count * 4);
  return new Float32Array(buffer, byteOffset, count);
}

/** Shared memory for `count` float64 elements, which may hold anything. */
export function sharedFloat64(count: number): Float64Array {
  const { buffer, byteOffset } = take(count * 8);
  return new Float64Array(buffer, byteOffset, count);
}

/** Shared memory of `count` bytes, which may hold anything. */
export function sharedBytes(count: number): Uint8Array {
  const { buffer, byteOffset } = take(count);
  return new Uint8Array(buffer, byteOffset, count);
}

interface Place {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
}

function take(bytes: number): Place {
  return takeLent(bytes) ?? { buffer: new SharedArrayBuffer(bytes), byteOffset: 0 };
}

function takeLent(bytes: number): Place | null {
  if (lent === null) return null;
  const { block, used, more } = lent;
  if (block !== undefined && used + bytes <= block.byteLength) {
    lent.used += aligned(bytes);
    return { buffer: block, byteOffset: used };
  }
  if (more === undefined || bytes < LEAST_ASKED_BYTES) return null;
  return { buffer: more(bytes), byteOffset: 0 };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
