import { SMALLEST_NORMAL } from './float32.ts';

/*
 * bfloat16: the upper half of a float32, 8 bits of significand. Rounding to it costs a relative error of at most 2^-8.
 */

const number = new Float32Array(1);
const bits = new Int32Array(number.buffer);

/** Half of the last bit that stays is added, less one unit where that bit is 0: ties go to even. */
function roundBits(): void {
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & -0x10000;
}

/**
 * x, taken as float32, as an operand of a product in bfloat16: rounded to nearest, ties to even; 0 with its sign below
 * 2^-126; infinite from (2 - 2^-8)·2^127 on. As the AVX512_BF16 instructions have it.
 */
export function roundToBfloat16(x: number): number {
  number[0] = x;
  if (Math.abs(number[0]) < SMALLEST_NORMAL) return number[0] * 0;
  // NaN is kept from becoming Infinity.
  if (Number.isNaN(x)) return x;
  roundBits();
  return number[0];
}

/** Rounds elements [from, to) where they stand. Returns whether all of them are finite. */
export function roundAllToBfloat16(x: Float64Array, from: number, to: number): boolean {
  // x·0 is 0 for every finite x and NaN for every other.
  let probe = 0;
  for (let i = from; i < to; i++) {
    number[0] = x[i];
    probe += number[0] * 0;
    const isTiny = Math.abs(number[0]) < SMALLEST_NORMAL;
    roundBits();
    if (isTiny) number[0] *= 0;
    probe += number[0] * 0;
    // A NaN stays one, which the bits alone would not.
    if (!Number.isNaN(x[i])) x[i] = number[0];
  }
  return probe === 0;
}
