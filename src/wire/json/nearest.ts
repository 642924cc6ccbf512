import type { Cursor } from './cursor.ts';
import type { DecimalScanner } from './decimal-scanner.ts';
import { type NarrowFormat, roundDecimal } from './rounding.ts';

/** Powers of ten up to this one are float64 values exactly. */
const EXACT_POWERS = 22;
const POWERS = Float64Array.from({ length: EXACT_POWERS + 1 }, (_, exponent) => Number(`1e${exponent}`));
const EXACT_INTEGERS = 2 ** 53;

/** The float64 nearest to the number that was scanned last, whose text is the bytes from `start` to before `end`. */
export function nearestFloat64(numbers: DecimalScanner, cursor: Cursor, start: number, end: number): number {
  const { sign, significand, exponent } = numbers;
  if (significand < EXACT_INTEGERS && exponent >= -EXACT_POWERS && exponent <= EXACT_POWERS) {
    // Both operands are exact, so the one operation rounds correctly (Clinger's fast path).
    const power = POWERS[Math.abs(exponent)];
    return sign * (exponent < 0 ? significand / power : significand * power);
  }
  return Number(cursor.ascii(start, end));
}

/** The value of a narrower format nearest to that number; an infinity beyond the largest. */
export function nearestNarrow(
  format: NarrowFormat,
  numbers: DecimalScanner,
  cursor: Cursor,
  start: number,
  end: number,
): number {
  return roundDecimal(format, nearestFloat64(numbers, cursor, start, end), cursor.ascii(start, end));
}
