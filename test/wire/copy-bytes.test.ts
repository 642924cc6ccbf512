import { expect, test } from 'vitest';
import { copyBytes } from '../../src/wire/copy-bytes.ts';

/** On both sides of the length from which the addon does it. */
test.each([0, 1, 4095, 4096, 100_001])('%i bytes are copied as set() does, wherever they lie', (length) => {
  const source = new Uint8Array(new SharedArrayBuffer(length + 8));
  for (let index = 0; index < source.length; index++) source[index] = index % 251;
  for (const [skipped, at] of [
    [0, 0],
    [3, 0],
    [0, 5],
    [7, 2],
  ]) {
    const from = source.subarray(skipped, skipped + length);
    const to = new Uint8Array(new SharedArrayBuffer(length + 8));
    const expected = new Uint8Array(length + 8);
    expected.set(from, at);
    copyBytes(from, to, at);
    expect(Buffer.from(expected).equals(to)).toBe(true);
  }
  expect(() => copyBytes(source, new Uint8Array(length + 8), 1)).toThrow(RangeError);
});
