import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstNotFinite, firstNotFinitePortable } from '../../src/wire/finite.ts';
import { codecAddon } from '../../src/wire/native/addon.ts';

/** Around every edge: zeros, the smallest, the largest, the infinities, quiet and signalling NaN, of both signs. */
const FLOAT32_BITS = [
  0, 1, 0x007fffff, 0x00800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000,
];
const FLOAT64_BITS = [
  0n,
  1n,
  0x7fefffffffffffffn,
  0x7ff0000000000000n,
  0x7ff0000000000001n,
  0x7ff8000000000000n,
];

/** The loops of both kinds, and the function that chooses between them. */
const WAYS = [
  { name: 'portable', firstNotFinite: firstNotFinitePortable },
  { name: 'chosen by length', firstNotFinite },
  ...(codecAddon === null ? [] : [{ name: 'native', firstNotFinite: codecAddon.firstNotFinite }]),
];

describe.each(WAYS)('the first element that is not finite, $name', ({ firstNotFinite }) => {
  test('of one float32, whatever its bits', () => {
    const words = new Uint32Array(1);
    const data = new Float32Array(words.buffer);
    const expectRight = (bits: number) => {
      words[0] = bits;
      expect(firstNotFinite(data)).toBe(Number.isFinite(data[0]) ? -1 : 0);
    };
    for (const bits of FLOAT32_BITS) {
      expectRight(bits);
      expectRight(bits + 2 ** 31);
    }
    fc.assert(fc.property(fc.nat({ max: 2 ** 32 - 1 }), expectRight));
  });

  test('of one float64, whatever its bits', () => {
    const words = new BigUint64Array(1);
    const data = new Float64Array(words.buffer);
    const expectRight = (bits: bigint) => {
      words[0] = bits;
      expect(firstNotFinite(data)).toBe(Number.isFinite(data[0]) ? -1 : 0);
    };
    for (const bits of FLOAT64_BITS) {
      expectRight(bits);
      expectRight(bits | (1n << 63n));
    }
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), expectRight));
  });

  test('is the first, wherever it stands and wherever the array begins', () => {
    const value = fc.constantFrom(0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    const values = fc.array(fc.oneof({ arbitrary: fc.constant(2), weight: 20 }, value), { maxLength: 40 });
    fc.assert(
      fc.property(values, fc.nat({ max: 3 }), (list, skipped) => {
        for (const all of [Float32Array.from(list), Float64Array.from(list)]) {
          const data = all.subarray(skipped);
          expect(firstNotFinite(data)).toBe(data.findIndex((element) => !Number.isFinite(element)));
        }
      }),
    );
  });

  test('is the first of many, wherever it stands', () => {
    for (const length of [255, 256, 257, 511, 512, 1000]) {
      for (const data of [new Float32Array(length), new Float64Array(length)]) {
        data.fill(-3e38);
        expect(firstNotFinite(data)).toBe(-1);
        for (let element = length - 1; element >= 0; element--) {
          data[element] = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][element % 3];
          expect(firstNotFinite(data)).toBe(element);
        }
      }
    }
  });

  test('of nothing is none', () => {
    expect([firstNotFinite(new Float32Array()), firstNotFinite(new Float64Array())]).toEqual([-1, -1]);
  });
});
