import { expect, test } from 'vitest';
import { CODECS, checkNumbers, expectShortest, writeNumbers } from './numbers.ts';
import { float32OfBits } from './oracle.ts';

test('a hundred thousand random numbers, read and written', () => {
  checkNumbers(100_000, 20_260_101);
});

test('float32s of every exponent, and around powers of two and ten', () => {
  const patterns = Array.from({ length: 255 }, (_, exponent) =>
    [0, 1, 2, 3, 0x400000, 0x555555, 0x7ffffe, 0x7fffff].map((fraction) => (exponent << 23) | fraction),
  ).flat();
  for (let power = -45; power <= 38; power++) {
    const [bits] = new Uint32Array(Float32Array.of(Number(`1e${power}`)).buffer);
    patterns.push(...[-2, -1, 0, 1, 2].map((step) => Math.max(bits + step, 0)));
  }
  const values = Float32Array.from(patterns, float32OfBits);
  for (const addon of CODECS) {
    writeNumbers(values, addon).forEach((text, index) => {
      expectShortest(text, values[index]);
    });
  }
});

test('float64s of every exponent', () => {
  const words = new Uint32Array(2);
  const [value] = [new Float64Array(words.buffer)];
  const values = Array.from({ length: 2047 }, (_, exponent) =>
    [
      [0, 0],
      [0, 1],
      [0xfffff, 0xffffffff],
      [0x80000, 0],
      [0x55555, 0x55555555],
    ].map(([high, low]) => {
      words.set([low, (exponent << 20) | high]);
      return value[0];
    }),
  ).flat();
  for (const addon of CODECS) {
    expect(writeNumbers(Float64Array.from(values), addon)).toEqual(values.map(String));
  }
});
