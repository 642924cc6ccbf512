/** A binary floating-point format narrower than float64. */
export interface NarrowFormat {
  /** The nearest value of the format, ties to even; an infinity beyond the largest. */
  readonly round: (value: number) => number;
  /** The power of two that would follow the largest finite value, were the exponent unbounded. */
  readonly beyond: number;
}

export const FLOAT32: NarrowFormat = { round: Math.fround, beyond: 2 ** 128 };
export const FLOAT16: NarrowFormat = { round: Math.f16round, beyond: 2 ** 16 };
export const BFLOAT16: NarrowFormat = { round: nearestBfloat16, beyond: 2 ** 128 };

const STEP = 2 ** -52;

/**
 * The value of `format` nearest to a decimal number, which is given as its text and as the float64 nearest to
 * it. Rounding that float64 once more is wrong in one case only: where it lies halfway between two values of
 * the format and the decimal number does not (double rounding; Figueroa, "When is double rounding
 * innocuous?"). Then the text decides.
 */
export function roundDecimal(format: NarrowFormat, nearest: number, text: string): number {
  const magnitude = Math.abs(nearest);
  const below = format.round(magnitude * (1 - STEP));
  const above = format.round(magnitude * (1 + STEP));
  let rounded = format.round(magnitude);
  const upper = above === Number.POSITIVE_INFINITY ? format.beyond : above;
  if (below !== above && magnitude === (below + upper) / 2) {
    const side = compareDecimal(text, magnitude);
    if (side !== 0) rounded = side < 0 ? below : above;
  }
  return nearest < 0 || Object.is(nearest, -0) ? -rounded : rounded;
}

const bits = new Float64Array(1);
const words = new Uint32Array(bits.buffer);

/** Ties to even: in units of the last place, adding and taking away 2^52 leaves no fraction. */
function nearestBfloat16(value: number): number {
  if (!Number.isFinite(value)) return value;
  bits[0] = Math.abs(value);
  const exponent = Math.max((words[1] >>> 20) - 1023, -126);
  const unit = 2 ** (exponent - 7);
  const rounded = (bits[0] / unit + 2 ** 52 - 2 ** 52) * unit;
  const magnitude = rounded < 2 ** 128 ? rounded : Number.POSITIVE_INFINITY;
  return value < 0 || Object.is(value, -0) ? -magnitude : magnitude;
}

/** No float64 halfway point of a narrower format has as many significant digits. */
const DECISIVE_DIGITS = 800;
/** Every halfway point of a narrower format is a multiple of 2^-150. */
const SMALLEST_HALF_BITS = 150;

/** Sign of |decimal| - value, exactly. `value` is a positive multiple of 2^-150. */
function compareDecimal(text: string, value: number): number {
  const [mantissa, written = '0'] = text.replace(/^-/, '').toLowerCase().split('e');
  const [whole, fraction = ''] = mantissa.split('.');
  let digits = (whole + fraction).replace(/^0+/, '');
  let exponent = Number(written) - fraction.length;
  if (digits.length > DECISIVE_DIGITS) {
    const rest = digits.slice(DECISIVE_DIGITS);
    exponent += rest.length - 1;
    digits = digits.slice(0, DECISIVE_DIGITS) + (/[1-9]/.test(rest) ? '1' : '0');
  }
  const scaledValue = BigInt(value * 2 ** SMALLEST_HALF_BITS) * 10n ** BigInt(Math.max(-exponent, 0));
  const scaledText = (BigInt(digits) << BigInt(SMALLEST_HALF_BITS)) * 10n ** BigInt(Math.max(exponent, 0));
  if (scaledText === scaledValue) return 0;
  return scaledText < scaledValue ? -1 : 1;
}
