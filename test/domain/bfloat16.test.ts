import { expect, it } from 'vitest';
import { roundAllToBfloat16, roundToBfloat16 } from '../../src/domain/bfloat16.ts';
import { seeded } from '../support/random.ts';

const ULP = 2 ** -7;

it.each([
  ['a number of 8 bits', 1 + ULP, 1 + ULP],
  ['a tie below an even one', 1 + 1.5 * ULP, 1 + 2 * ULP],
  ['a tie above an even one', 1 + 0.5 * ULP, 1],
  ['just above a tie', 1 + 0.5 * ULP + 2 ** -23, 1 + ULP],
  ['just below a tie', -(1 + 1.5 * ULP - 2 ** -23), -(1 + ULP)],
  ['the smallest normal number', 2 ** -126, 2 ** -126],
  ['just below it', 2 ** -126 - 2 ** -149, 0],
  ['just below it, negative', -(2 ** -126 - 2 ** -149), -0],
  ['a float64 that is it as float32', 2 ** -126 - 2 ** -152, 2 ** -126],
  ['the largest', (2 - ULP) * 2 ** 127, (2 - ULP) * 2 ** 127],
  ['halfway from the largest to the next', (2 - ULP / 2) * 2 ** 127, Number.POSITIVE_INFINITY],
  ['just below halfway', (2 - ULP / 2) * 2 ** 127 - 2 ** 104, (2 - ULP) * 2 ** 127],
  ['-0', -0, -0],
  ['-Infinity', Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ['NaN', Number.NaN, Number.NaN],
])('rounds %s', (_what, x, expected) => {
  expect(roundToBfloat16(x)).toBe(expected);
  const row = Float64Array.of(5, x, 5);
  expect(roundAllToBfloat16(row, 1, 2)).toBe(Number.isFinite(expected));
  expect(Array.from(row)).toEqual([5, expected, 5]);
});

it('rounds to the nearest of the numbers that have 8 bits, within 2^-8', () => {
  const random = seeded(1);
  for (let round = 0; round < 20_000; round++) {
    const x = Math.fround(random.normal() * 2 ** (random.below(200) - 100));
    const rounded = roundToBfloat16(x);
    const step = 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
    expect(Number.isInteger(rounded / step)).toBe(true);
    expect(Math.abs(rounded - x)).toBeLessThanOrEqual(step / 2);
    expect(Math.abs(rounded - x)).toBeLessThanOrEqual(2 ** -8 * Math.abs(x));
  }
});
