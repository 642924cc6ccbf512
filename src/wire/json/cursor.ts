import { type Problem, pointerToken, problemAt } from '../../domain/problem.ts';
import { CARRIAGE_RETURN, CLOSE_BRACE, LINE_FEED, OPEN_BRACE, SPACE, TAB } from './ascii.ts';

/** What `peek` gives at the end of the body. */
export const END = -1;

/**
 * A place in the bytes of a JSON body, and the path of the value that is being read.
 *
 * The last byte is always `}`. No number, literal or run of whitespace goes on over it, so that loops over
 * these need no check for the end.
 */
export class Cursor {
  readonly bytes: Uint8Array;
  /** The end of the body: after its last byte that is not whitespace. */
  readonly end: number;
  position: number;
  readonly path: (string | number)[] = [];

  /** Stands at the opening brace. Throws `malformed_body` where the body is not one JSON object. */
  constructor(bytes: Uint8Array) {
    let end = bytes.length;
    while (end > 0 && isWhitespace(bytes[end - 1])) end--;
    this.bytes = bytes;
    this.end = end;
    this.position = 0;
    this.skipWhitespace();
    if (this.peek() !== OPEN_BRACE) throw this.malformed('Expected a JSON object');
    if (bytes[end - 1] !== CLOSE_BRACE) {
      throw this.malformed('Expected the body to end with the closing brace of its object', end - 1);
    }
  }

  peek(): number {
    return this.position < this.end ? this.bytes[this.position] : END;
  }

  skipWhitespace(): void {
    if (this.position < this.end) this.position = afterWhitespace(this.bytes, this.position);
  }

  /** Steps over a byte of the grammar and the whitespace after it. `what` names it in the message. */
  expect(byte: number, what: string): void {
    if (this.peek() !== byte) throw this.malformed(`Expected ${what}`);
    this.position++;
    this.skipWhitespace();
  }

  /** JSON Pointer (RFC 6901) of the value that is being read, and of what lies below it. */
  pointer(...below: readonly (string | number)[]): string {
    return [...this.path, ...below].map((token) => `/${pointerToken(token)}`).join('');
  }

  /** Bytes as text; only for bytes known to be ASCII. */
  ascii(from: number, to: number): string {
    const { buffer, byteOffset } = this.bytes;
    return Buffer.from(buffer, byteOffset + from, to - from).toString('latin1');
  }

  /** `Expected …` and what stands at `at` instead. */
  malformed(expected: string, at = this.position, pointer = this.pointer()): Problem {
    return problemAt('malformed_body', pointer, `${expected}; got ${this.#describe(at)} at byte ${at}`);
  }

  #describe(at: number): string {
    if (at < 0 || at >= this.end) return 'the end of the body';
    const byte = this.bytes[at];
    if (byte === 0xef && this.bytes[at + 1] === 0xbb && this.bytes[at + 2] === 0xbf)
      return 'a byte order mark';
    return byte > SPACE && byte < 0x7f
      ? `'${String.fromCharCode(byte)}'`
      : `byte 0x${byte.toString(16).padStart(2, '0')}`;
  }
}

export function isWhitespace(byte: number): boolean {
  return byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB;
}

/** The first place from `at` on that holds no whitespace. */
export function afterWhitespace(bytes: Uint8Array, at: number): number {
  let position = at;
  while (isWhitespace(bytes[position])) position++;
  return position;
}

/** Whether the literal stands at `at`. */
export function holds(bytes: Uint8Array, at: number, literal: string): boolean {
  for (let index = 0; index < literal.length; index++) {
    if (bytes[at + index] !== literal.charCodeAt(index)) return false;
  }
  return true;
}
