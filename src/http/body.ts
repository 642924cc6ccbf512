import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { Problem } from '../domain/problem.ts';
import { copyBytes } from '../wire/copy-bytes.ts';

/** Where a body without a Content-Length starts. */
const FIRST_BYTES = 64 * 1024;

export interface BodyBudget {
  /** Largest body, in bytes. */
  readonly limit: number;
  /** Memory for a body, of which so many bytes have been booked; throws where there is no room for the others. */
  readonly memoryOf: (bytes: number, booked: number) => Uint8Array;
  /** Ends the waiting for bytes that do not come. */
  readonly signal: AbortSignal;
  /** The content coding that has been undone, where one was: who sent less than the limit is to be told what was counted. */
  readonly coding?: string | null;
}

/**
 * Bytes that the Content-Length announces; undefined where the body is chunked.
 * @throws {Problem} body_too_large, before a byte is read.
 */
export function announcedLength(header: string | undefined, limit: number): number | undefined {
  if (header === undefined) return undefined;
  const length = Number(header);
  if (length <= limit) return length;
  throw new Problem(
    'body_too_large',
    `The body may have ${limit} bytes here; Content-Length says ${length}.`,
  );
}

/**
 * Reads a body into memory that threads share, so that no copy is made on its way to a worker. `length` is what the
 * Content-Length announces; a chunked body grows by doubling. What comes after a refusal is read and dropped: a
 * connection that is closed on unread bytes would take the answer with it.
 * @throws {Problem} body_too_large as soon as more bytes have come than the limit allows; the reason of the signal; what
 *   the stream fails with, or that it was closed before its end.
 */
export async function readBody(
  stream: Readable,
  length: number | undefined,
  budget: BodyBudget,
): Promise<Uint8Array> {
  const body = new GrowingBody(length, budget);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const isFromNetwork = stream instanceof IncomingMessage && stream.socket instanceof Socket;
  const onData = (chunk: Buffer) => {
    try {
      body.append(chunk);
      if (isFromNetwork) giveBack(chunk);
    } catch (error) {
      reject(error);
    }
  };
  const onAbort = () => reject(budget.signal.reason);
  const onClose = () => {
    if (!stream.readableEnded) reject(new Error('The body was closed before its end.'));
  };
  // Not stream.finished, which keeps books on all that a stream may be: some per cent of the time of a tiny call.
  stream.on('end', resolve).on('error', reject).on('close', onClose);
  if (stream.destroyed) onClose();
  budget.signal.addEventListener('abort', onAbort);
  if (budget.signal.aborted) onAbort();
  stream.on('data', onData);
  try {
    await promise;
    return body.bytes;
  } finally {
    stream.off('data', onData);
    if (!stream.readableEnded) stream.resume();
    budget.signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Frees what a chunk lies in, which Node's HTTP parser allocated for it alone. Left to the garbage collector, such memory
 * is what drives it: at a hundred megabytes a second it marks the whole heap several times a second, on every core.
 */
function giveBack({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

class GrowingBody {
  readonly #budget: BodyBudget;
  #buffer: Uint8Array;
  #filled = 0;

  constructor(length: number | undefined, budget: BodyBudget) {
    this.#budget = budget;
    this.#buffer = length === undefined ? budget.memoryOf(FIRST_BYTES, 0) : budget.memoryOf(length, length);
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#filled);
  }

  append(chunk: Uint8Array): void {
    const needed = this.#filled + chunk.length;
    const { limit, coding = null } = this.#budget;
    if (needed > limit) {
      const counted =
        coding === null ? 'here; more came' : `here, decompressed; more came out of its ${coding}`;
      throw new Problem('body_too_large', `The body may have ${limit} bytes ${counted}.`);
    }
    if (needed > this.#buffer.length) this.#grow(Math.min(limit, Math.max(needed, this.#buffer.length * 2)));
    copyBytes(chunk, this.#buffer, this.#filled);
    this.#filled = needed;
  }

  #grow(capacity: number): void {
    const grown = this.#budget.memoryOf(capacity, 0);
    grown.set(this.bytes);
    this.#buffer = grown;
  }
}
