import { isUtf8 } from 'node:buffer';
import { problemAt } from '../../domain/problem.ts';
import { isForbiddenName } from '../names.ts';
import { BACKSLASH, COLON, LOWER_U, QUOTE, SPACE } from './ascii.ts';
import type { Cursor } from './cursor.ts';

/**
 * Bytes between the quotes of a word: the name of a member, or a string of which only a few are known, all of them much
 * shorter, also with each letter written as an escape.
 */
export const LONGEST_WORD = 256;

/** What may follow a backslash, besides `u` and four hexadecimal digits. */
const ESCAPES: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'));

/**
 * Steps over the string that the cursor stands at, checking its escapes, its UTF-8 and that no control
 * character is in it. Returns whether it is plain: ASCII without escapes, the same as its bytes. Where it has more than
 * `longest` bytes, nothing beyond these is looked at, the cursor stays, and undefined is returned.
 */
export function skipString(cursor: Cursor, longest = cursor.end): boolean | undefined {
  const { bytes } = cursor;
  const start = cursor.position;
  const end = Math.min(start + longest + 2, cursor.end);
  let position = start + 1;
  let isAscii = true;
  let hasEscapes = false;
  for (;;) {
    if (position >= end) {
      if (end < cursor.end) return undefined;
      throw cursor.malformed('Expected the closing quote of a string', end);
    }
    const byte = bytes[position];
    if (byte === QUOTE) break;
    if (byte < SPACE) throw cursor.malformed('Expected no control character in a string', position);
    if (byte >= 0x80) isAscii = false;
    if (byte === BACKSLASH) {
      hasEscapes = true;
      position = afterEscape(cursor, position);
    } else {
      position++;
    }
  }
  cursor.position = position + 1;
  if (!isAscii) checkUtf8(cursor, start, cursor.position);
  return isAscii && !hasEscapes;
}

function afterEscape(cursor: Cursor, at: number): number {
  const { bytes } = cursor;
  const escaped = bytes[at + 1];
  if (ESCAPES.has(escaped)) return at + 2;
  if (escaped !== LOWER_U) throw cursor.malformed('Expected one of "\\/bfnrtu after a backslash', at + 1);
  for (let digit = at + 2; digit < at + 6; digit++) {
    if (!isHexDigit(bytes[digit]))
      throw cursor.malformed('Expected four hexadecimal digits after \\u', digit);
  }
  return at + 6;
}

function isHexDigit(byte: number): boolean {
  const letter = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (letter >= 0x61 && letter <= 0x66);
}

function checkUtf8(cursor: Cursor, from: number, to: number): void {
  if (isUtf8(cursor.bytes.subarray(from, to))) return;
  const detail = `Expected UTF-8; got other bytes in the string from byte ${from} to byte ${to}`;
  throw problemAt('malformed_body', cursor.pointer(), detail);
}

/** Reads the string that the cursor stands at, as JSON.parse would. */
export function readString(cursor: Cursor): string {
  const start = cursor.position;
  const isPlain = skipString(cursor);
  return textOf(cursor, start, isPlain === true);
}

/** As `readString`; undefined, with nothing made of it and the cursor where it was, for what is longer than any word. */
export function readWord(cursor: Cursor): string | undefined {
  const start = cursor.position;
  const isPlain = skipString(cursor, LONGEST_WORD);
  return isPlain === undefined ? undefined : textOf(cursor, start, isPlain);
}

/** The text of the string from `start` to the cursor, which has just gone over it. */
function textOf(cursor: Cursor, start: number, isPlain: boolean): string {
  if (isPlain) return cursor.ascii(start + 1, cursor.position - 1);
  const { buffer, byteOffset } = cursor.bytes;
  return JSON.parse(
    Buffer.from(buffer, byteOffset + start, cursor.position - start).toString('utf8'),
  ) as string;
}

/**
 * The bytes from after the opening quote to the next quote, as they are. For a string of which something else shows that
 * it has no escapes and is ASCII. Undefined where there is no other quote.
 */
export function peekString({ bytes, position, end }: Cursor): string | undefined {
  const { buffer, byteOffset } = bytes;
  // A Buffer searches at the speed of memory.
  const rest = Buffer.from(buffer, byteOffset + position + 1, end - position - 1);
  const length = rest.indexOf(QUOTE);
  return length < 0 ? undefined : rest.toString('latin1', 0, length);
}

/**
 * Reads the name of an object's member, the colon and the whitespace around them, and pushes the name on the
 * path. Refuses names that reach a prototype, and those that are longer than any word.
 */
export function enterMember(cursor: Cursor): string {
  if (cursor.peek() !== QUOTE) throw cursor.malformed('Expected the name of a member, in double quotes');
  const name = readWord(cursor);
  if (name === undefined) {
    const detail = `Expected the name of a field; got one of more than ${LONGEST_WORD} bytes at byte ${cursor.position}`;
    throw problemAt('invalid_request', cursor.pointer(), detail);
  }
  cursor.path.push(name);
  if (isForbiddenName(name)) {
    throw problemAt('malformed_body', cursor.pointer(), `Expected the name of a field; got ${name}`);
  }
  cursor.skipWhitespace();
  cursor.expect(COLON, "':' after the name of a member");
  return name;
}
