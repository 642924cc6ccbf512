import { CLOSE_BRACKET, COMMA, OPEN_BRACKET } from './ascii.ts';
import type { Cursor } from './cursor.ts';

/**
 * Goes through an array of arrays, from after its opening bracket to after its closing one. `readArray` reads one of
 * them, from after its opening bracket on, and `index` ends with its place meanwhile. Returns how many there are; throws
 * `notAnArray()` for what is none, and malformed_body.
 */
export function readArrays(
  cursor: Cursor,
  index: number[],
  readArray: () => void,
  notAnArray: () => Error,
): number {
  let size = 0;
  cursor.skipWhitespace();
  while (size > 0 || cursor.peek() !== CLOSE_BRACKET) {
    index.push(size);
    if (cursor.peek() !== OPEN_BRACKET) throw notAnArray();
    cursor.position++;
    readArray();
    index.pop();
    size++;
    cursor.skipWhitespace();
    if (cursor.peek() === CLOSE_BRACKET) break;
    cursor.expect(COMMA, "',' or ']' after an array");
  }
  cursor.position++;
  return size;
}
