/** Of a float32: significand·2^exponent, the significand of 24 bits unless the number is subnormal. */
const HIDDEN_BIT = 0x800000;
const LEAST_EXPONENT = -149;
const EXPONENTS = 277;

/** Powers of two from 2^-149 to 2^127. */
const POWERS_OF_TWO = Float64Array.from({ length: EXPONENTS }, (_, index) => 2 ** (index + LEAST_EXPONENT));
/** For float32s from 2^t up to 2^(t+1), at t + 149: the largest k with 10^k·2^(t+1) <= 2^31, and 10^k. */
const SCALES = Int32Array.from(POWERS_OF_TWO, (power) => Math.floor((30 - Math.log2(power)) * Math.log10(2)));
const POWERS_OF_TEN = Float64Array.from(SCALES, (scale) => Number(`1e${scale}`));

/** 10^k is exact up to 10^22, and its product with 25 bits up to here: 5^12 has 28 bits. */
const EXACT_SCALE = 12;
/** Above, two roundings of values below 2^31 are off by less than 2^-21. */
const MARGIN = 2 ** -20;

/**
 * Finds the shortest decimal number that reads back as a float32, and of the shortest ones the nearest to it;
 * of two as near, the one with the even last digit. These are the digits that Number::toString (ECMA-262,
 * 6.1.6.1.20) chooses for a float64, for float32.
 *
 * Decimal numbers read back as x where they lie between the points halfway to the neighbours of x (and, if the
 * significand of x is even, on them). All three are scaled by a power of ten to just below 2^31, which leaves
 * more than nine integers between them. The shortest decimal is then the multiple of the largest power of ten
 * there. float64 holds the scaled values, exactly or with an error far below the distances that usually decide;
 * where one is as small as the error, the same search runs in exact integers. (Steele and White, PLDI 1990; to
 * go the fast way wherever it is provably right is the idea of Grisu3, Loitsch, PLDI 2010.)
 */
export class ShortestFloat32 {
  /** The decimal number is digits·10^exponent. The last digit is not 0, unless the number is. */
  digits = 0;
  exponent = 0;

  /** `bits`: of a finite float32, whose sign is passed over. */
  find(bits: number): void {
    const biased = (bits >>> 23) & 0xff;
    const fraction = bits & (HIDDEN_BIT - 1);
    const significand = biased === 0 ? fraction : fraction | HIDDEN_BIT;
    if (significand === 0) {
      this.digits = 0;
      this.exponent = 0;
      return;
    }
    const unit = biased === 0 ? 0 : biased - 1;
    const row = unit + 31 - Math.clz32(significand);
    // The neighbour below a power of two is half as far away as the one above.
    const lowerGap = fraction === 0 && biased > 1 ? 0.25 : 0.5;
    const power = POWERS_OF_TWO[unit];
    const ten = POWERS_OF_TEN[row];
    const scale = SCALES[row];
    const low = (significand - lowerGap) * power * ten;
    const value = significand * power * ten;
    const high = (significand + 0.5) * power * ten;
    const isEven = (significand & 1) === 0;
    const margin = scale >= 0 && scale <= EXACT_SCALE ? 0 : MARGIN;
    if (!this.#search(low, value, high, isEven, margin, scale)) {
      this.#searchExactly(significand, unit + LEAST_EXPONENT, lowerGap, scale);
    }
  }

  /** False where the scaled values, each off by less than `margin`, leave the answer open. */
  #search(low: number, value: number, high: number, isEven: boolean, margin: number, scale: number): boolean {
    // The integers of the interval are first + 1 … last.
    let first = Math.floor(low) | 0;
    let last = Math.floor(high) | 0;
    if (margin === 0) {
      if (low === first && isEven) first--;
      if (high === last && !isEven) last--;
    } else if (isNearInteger(low, first, margin) || isNearInteger(high, last, margin)) {
      return false;
    }
    let step = 1;
    let exponent = -scale;
    for (;;) {
      const nextFirst = (first / 10) | 0;
      const nextLast = (last / 10) | 0;
      if (nextFirst === nextLast) break;
      first = nextFirst;
      last = nextLast;
      step *= 10;
      exponent++;
    }
    let digits = ((Math.floor(value) | 0) / step) | 0;
    const above = 2 * (value - digits * step) - step;
    if (margin !== 0 && above > -2 * margin && above < 2 * margin) return false;
    if (digits <= first || (digits < last && (above > 0 || (above === 0 && (digits & 1) === 1)))) digits++;
    this.digits = digits;
    this.exponent = exponent;
    return true;
  }

  /** The same search over fractions numerator / denominator. */
  #searchExactly(significand: number, binaryExponent: number, lowerGap: number, scale: number): void {
    const factor = 2n ** BigInt(Math.max(binaryExponent, 0)) * 10n ** BigInt(Math.max(scale, 0));
    const denominator = 4n * 2n ** BigInt(Math.max(-binaryExponent, 0)) * 10n ** BigInt(Math.max(-scale, 0));
    const low = BigInt((significand - lowerGap) * 4) * factor;
    const value = BigInt(significand * 4) * factor;
    const high = BigInt((significand + 0.5) * 4) * factor;
    const isEven = (significand & 1) === 0;
    let first = low / denominator;
    let last = high / denominator;
    if (isEven && first * denominator === low) first--;
    if (!isEven && last * denominator === high) last--;
    let step = 1n;
    let exponent = -scale;
    while (first / 10n !== last / 10n) {
      first /= 10n;
      last /= 10n;
      step *= 10n;
      exponent++;
    }
    let digits = value / (denominator * step);
    const above = 2n * (value - digits * denominator * step) - denominator * step;
    if (digits <= first || (digits < last && (above > 0n || (above === 0n && digits % 2n === 1n)))) digits++;
    this.digits = Number(digits);
    this.exponent = exponent;
  }
}

function isNearInteger(value: number, floor: number, margin: number): boolean {
  const fraction = value - floor;
  return fraction < margin || fraction > 1 - margin;
}
