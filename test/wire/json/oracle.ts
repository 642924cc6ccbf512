/**
 * What JSON numbers and float32s mean, in exact integers and without any idea of speed: the yardstick for the
 * codec. It shares no code with it.
 */

/** A non-negative rational number. */
interface Ratio {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

interface Format {
  /** Bits of the significand, the hidden one included. */
  readonly precision: number;
  /** Exponent of the smallest subnormal: its value is 2^least. */
  readonly least: number;
  /** All finite values are below 2^beyond. */
  readonly beyond: number;
}

export const FORMATS = {
  float64: { precision: 53, least: -1074, beyond: 1024 },
  float32: { precision: 24, least: -149, beyond: 128 },
  bfloat16: { precision: 8, least: -133, beyond: 128 },
  float16: { precision: 11, least: -24, beyond: 16 },
} as const satisfies Record<string, Format>;

function ratioOf(text: string): Ratio {
  const [, whole, fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const power = Number(exponent) - fraction.length;
  return {
    numerator: BigInt(whole + fraction) * 10n ** BigInt(Math.max(power, 0)),
    denominator: 10n ** BigInt(Math.max(-power, 0)),
  };
}

/** The value of the format nearest to a decimal number, ties to even. */
export function nearest(text: string, { precision, least, beyond }: Format): number {
  const sign = text.startsWith('-') ? -1 : 1;
  if (/^-?[0.]+(?:e|$)/i.test(text)) return sign * 0;
  const { numerator, denominator } = ratioOf(text);
  const length = numerator.toString(2).length - denominator.toString(2).length;
  let exponent = Math.max(length - precision, least);
  let [quotient, up] = divide(numerator, denominator, exponent);
  if (quotient >= 1n << BigInt(precision)) [quotient, up] = divide(numerator, denominator, ++exponent);
  else if (quotient < 1n << BigInt(precision - 1) && exponent > least) {
    [quotient, up] = divide(numerator, denominator, --exponent);
  }
  if (up) quotient++;
  if (quotient >= 1n << BigInt(Math.max(beyond - exponent, 0))) return sign * Number.POSITIVE_INFINITY;
  // In two steps: 2^-1074 and 2^971 are float64s, and so is each product.
  return sign * Number(quotient) * 2 ** Math.trunc(exponent / 2) * 2 ** (exponent - Math.trunc(exponent / 2));
}

/** numerator / (denominator·2^exponent), rounded down, and whether the nearest (even) integer is above. */
function divide(numerator: bigint, denominator: bigint, exponent: number): [bigint, boolean] {
  const scaled = numerator << BigInt(Math.max(-exponent, 0));
  const divisor = denominator << BigInt(Math.max(exponent, 0));
  const quotient = scaled / divisor;
  const twice = 2n * (scaled - quotient * divisor);
  return [quotient, twice > divisor || (twice === divisor && quotient % 2n === 1n)];
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

export function float32OfBits(pattern: number): number {
  bits[0] = pattern;
  return float[0];
}

export function bitsOfFloat32(value: number): number {
  float[0] = value;
  return bits[0];
}

/**
 * The shortest decimal that reads back as a positive float32, nearest to it of the shortest, even of the
 * nearest: tries every number of digits, and of each the decimals around the value.
 */
export function shortestDecimal(value: number): { digits: bigint; exponent: number } {
  const exact = ratioOf(exactDecimal(value));
  for (let count = 1; ; count++) {
    const exponent = decimalExponent(value) - count + 1;
    const ten = 10n ** BigInt(Math.abs(exponent));
    const numerator = exact.numerator * (exponent < 0 ? ten : 1n);
    const denominator = exact.denominator * (exponent < 0 ? 1n : ten);
    const floor = numerator / denominator;
    const candidates = [floor - 1n, floor, floor + 1n, floor + 2n]
      .filter((digits) => digits > 0n && nearest(`${digits}e${exponent}`, FORMATS.float32) === value)
      .map((digits) => ({ digits, exponent, distance: abs(digits * denominator - numerator) }))
      .sort((a, b) => compare(a.distance, b.distance) || Number((a.digits % 2n) - (b.digits % 2n)));
    if (candidates.length > 0) return withoutTrailingZeros(candidates[0]);
  }
}

/** Every digit of a float64, as a decimal without exponent. */
export function exactDecimal(value: number): string {
  let scaled = Math.abs(value);
  let places = 0;
  // Doubling is exact here: float32s and the points between them are far from the largest float64.
  while (!Number.isInteger(scaled)) {
    scaled *= 2;
    places++;
  }
  const digits = (BigInt(scaled) * 5n ** BigInt(places)).toString().padStart(places + 1, '0');
  const whole = digits.slice(0, digits.length - places);
  return places === 0 ? whole : `${whole}.${digits.slice(-places)}`;
}

/** The neighbour of 9 with one digit is 10, which is 1 of the next power. */
function withoutTrailingZeros({ digits, exponent }: { digits: bigint; exponent: number }) {
  let [rest, power] = [digits, exponent];
  for (; rest % 10n === 0n; rest /= 10n) power++;
  return { digits: rest, exponent: power };
}

/** floor(log10(value)). */
function decimalExponent(value: number): number {
  return Number(value.toExponential(20).split('e')[1]);
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
