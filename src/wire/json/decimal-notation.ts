import { DIGIT_0, DOT, LOWER_E, MINUS, PLUS } from './ascii.ts';

/** Numbers of a larger magnitude than 10^21, or of 10^-6 and less, are written with an exponent. */
const LARGEST_FIXED = 21;
const SMALLEST_FIXED = -6;

/**
 * Writes digits·10^exponent at `at` in the notation of Number::toString (ECMA-262, 6.1.6.1.20): 120, 1.2,
 * 0.012, 1.2e+21, 1.2e-7. `digits` is an integer from 1 to 2^31 - 1. Returns the place after it.
 */
export function writeDecimal(bytes: Uint8Array, at: number, digits: number, exponent: number): number {
  const count = digitCount(digits);
  /** Where the decimal point stands, counted from the first digit. */
  const point = count + exponent;
  if (exponent >= 0 && point <= LARGEST_FIXED) {
    writeDigits(bytes, at, count, digits);
    bytes.fill(DIGIT_0, at + count, at + point);
    return at + point;
  }
  if (point > 0 && point <= LARGEST_FIXED) return writeWithPoint(bytes, at, digits, count, point);
  if (point > SMALLEST_FIXED && point <= 0) {
    bytes[at] = DIGIT_0;
    bytes[at + 1] = DOT;
    let start = at + 2;
    for (let zeros = -point; zeros > 0; zeros--) bytes[start++] = DIGIT_0;
    writeDigits(bytes, start, count, digits);
    return start + count;
  }
  let end = count === 1 ? at + 1 : writeWithPoint(bytes, at, digits, count, 1);
  if (count === 1) bytes[at] = DIGIT_0 + digits;
  const power = point - 1;
  bytes[end++] = LOWER_E;
  bytes[end++] = power < 0 ? MINUS : PLUS;
  return writeInteger(bytes, end, Math.abs(power));
}

/** Writes an integer from 0 to 2^31. Returns the place after it. */
export function writeInteger(bytes: Uint8Array, at: number, value: number): number {
  const count = digitCount(value);
  writeDigits(bytes, at, count, value);
  return at + count;
}

/** All digits with a point after the first `point` of them: moves these one place to the left. */
function writeWithPoint(bytes: Uint8Array, at: number, digits: number, count: number, point: number): number {
  writeDigits(bytes, at + 1, count, digits);
  for (let index = at; index < at + point; index++) bytes[index] = bytes[index + 1];
  bytes[at + point] = DOT;
  return at + 1 + count;
}

function writeDigits(bytes: Uint8Array, at: number, count: number, value: number): void {
  let rest = value;
  for (let index = at + count - 1; index >= at; index--) {
    const tens = (rest / 10) >>> 0;
    bytes[index] = DIGIT_0 + rest - tens * 10;
    rest = tens;
  }
}

function digitCount(value: number): number {
  let count = 1;
  for (let power = 10; value >= power; power *= 10) count++;
  return count;
}
