import { expect } from 'vitest';
import { encodeJson } from '../../../src/wire/json/encode.ts';
import { type CodecAddon, codecAddon } from '../../../src/wire/native/addon.ts';
import { decodeOnce } from './helpers.ts';
import { bitsOfFloat32, exactDecimal, FORMATS, float32OfBits, nearest, shortestDecimal } from './oracle.ts';

/*
 * Random numbers by the million, as text to be read and as bits to be written. The expectations share no code with the
 * codec: they rest on V8's Number(text) and String(number), which are right for float64, and on exact integers for the
 * few numbers that two roundings could get wrong.
 */

/** What reads and writes: the addon, where it is compiled, and the portable codec. */
export const CODECS: readonly (CodecAddon | null)[] = codecAddon === null ? [null] : [codecAddon, null];

/** xorshift128 of 32-bit words: fast, and the same numbers for the same seed. */
export class Random {
  readonly #state: Int32Array;

  constructor(seed: number) {
    this.#state = Int32Array.of(seed | 1, 0x9e3779b9, 0x7f4a7c15, 0x85ebca6b);
    for (let run = 0; run < 16; run++) this.bits();
  }

  /** 32 random bits. */
  bits(): number {
    const state = this.#state;
    let mixed = state[3];
    mixed ^= mixed << 11;
    mixed ^= mixed >>> 8;
    state[3] = state[2];
    state[2] = state[1];
    state[1] = state[0];
    state[0] ^= (state[0] >>> 19) ^ mixed;
    return state[0];
  }

  below(limit: number): number {
    return (this.bits() >>> 0) % limit;
  }

  digits(count: number): string {
    let text = '';
    while (text.length < count) text += String(this.bits() >>> 0);
    return text.slice(0, count);
  }
}

const word = new DataView(new ArrayBuffer(8));

/** A finite float64 of any bits. */
export function randomFloat64(random: Random): number {
  for (;;) {
    word.setInt32(0, random.bits());
    word.setInt32(4, random.bits());
    const value = word.getFloat64(0);
    if (Number.isFinite(value)) return value;
  }
}

/** A finite float32 of any bits. */
export function randomFloat32(random: Random): number {
  for (;;) {
    const value = float32OfBits(random.bits() >>> 0);
    if (Number.isFinite(value)) return value;
  }
}

/** A number as writers write it, or as none does; as often of one kind as of another. */
export function randomNumber(random: Random): string {
  const sign = random.below(2) === 0 ? '' : '-';
  switch (random.below(6)) {
    case 0: // An embedding, from a writer of float64.
      return String((random.bits() / 2 ** 31) * (1 + random.below(8)));
    case 1: // A float64 within the range of float32.
      return String((random.bits() / 2 ** 31) * 10 ** (random.below(84) - 45));
    case 2: // A float32, by as many digits as tell it or by more.
      return randomFloat32(random).toPrecision(6 + random.below(15));
    case 3: // Any digits.
      return `${sign}${1 + random.below(9)}${random.digits(random.below(24))}.${random.digits(1 + random.below(28))}`;
    case 4: // Any digits and exponent; mostly in range.
      return `${sign}0.${random.digits(1 + random.below(22))}e${random.below(80) - 45}`;
    default:
      return `${sign}${aroundHalfway(random)}`;
  }
}

/** The point halfway between two neighbouring float32s, cut or rounded to some of its digits, or with more after them. */
function aroundHalfway(random: Random): string {
  const low = float32OfBits(random.below(0x7f7fffff));
  const halfway = (low + float32OfBits(bitsOfFloat32(low) + 1)) / 2;
  if (random.below(8) === 0)
    return `${exactDecimal(halfway).replace(/^(\d+)$/, '$1.')}${'0'.repeat(random.below(3))}${random.below(2)}`;
  return halfway.toPrecision(15 + random.below(9));
}

/**
 * The float32 nearest to a decimal. Rounding the nearest float64 once more is right unless that lies halfway between two
 * float32s; exact integers decide then.
 */
export function nearestFloat32(text: string): number {
  const wide = Number(text);
  const narrow = Math.fround(wide);
  if (narrow === wide || Number.isNaN(narrow)) return narrow;
  const magnitude = Math.abs(wide);
  const other = float32OfBits(bitsOfFloat32(Math.abs(narrow)) + (Math.abs(narrow) < magnitude ? 1 : -1));
  const isHalfway = Math.abs(magnitude - Math.abs(narrow)) === Math.abs(other - magnitude);
  return isHalfway || !Number.isFinite(narrow) || !Number.isFinite(other)
    ? nearest(text, FORMATS.float32)
    : narrow;
}

/** Reads the numbers with one codec, in a body of this precision. */
export function readNumbers(
  texts: readonly string[],
  precision: 'float32' | 'float64',
  addon: CodecAddon | null,
) {
  const tensor = `{"dtype":"${precision}","shape":[${texts.length}],"data":[${texts.join(',')}]}`;
  return decodeOnce(`{"query":${tensor},"precision":"${precision}"}`, {}, addon).tensors.query.data;
}

/** Expects the same bits; names the first text where they differ. */
export function expectSame(
  got: ArrayLike<number>,
  expected: readonly number[],
  texts: readonly string[],
): void {
  expect(got.length).toBe(expected.length);
  for (let index = 0; index < expected.length; index++) {
    if (!Object.is(got[index], expected[index])) {
      expect.fail(`${texts[index]}: expected ${expected[index]}, got ${got[index]}`);
    }
  }
}

/** Writes the numbers with one codec, and gives the text of each. */
export function writeNumbers(data: Float32Array | Float64Array, addon: CodecAddon | null): string[] {
  const dtype = data instanceof Float32Array ? 'float32' : 'float64';
  const tensors = { x: { dtype, shape: [data.length], data } } as const;
  const bytes = encodeJson({ tensors, envelope: {} }, { encoding: 'nested' }, addon);
  return Buffer.from(bytes).toString('latin1').slice('{"x":['.length, -']}'.length).split(',');
}

/**
 * Expects the text to be the shortest decimal that reads back as the float32, the nearest of them, in the notation of
 * JavaScript. toPrecision gives the nearest decimal of a length; in doubt, as with two that are as near, exact integers
 * decide.
 */
export function expectShortest(text: string, value: number): void {
  const wide = Number(text);
  const length = wide.toExponential().replace(/e.*|[-.]/g, '').length;
  const isShortest =
    Math.fround(wide) === value &&
    (length === 1 || Math.fround(Number(value.toPrecision(length - 1))) !== value) &&
    wide === Number(value.toPrecision(length));
  if (text === String(wide) && isShortest) return;
  const { digits, exponent } = value === 0 ? { digits: 0n, exponent: 0 } : shortestDecimal(Math.abs(value));
  expect(text).toBe(String(Number(`${value < 0 ? '-' : ''}${digits}e${exponent}`)));
}

const BATCH = 20_000;

/** One batch of so many is of float64s too: their text is longer, and they are rarer. */
const FLOAT64_EVERY = 5;

/** Reads and writes so many random numbers with each codec, and a fifth as many float64s. */
export function checkNumbers(count: number, seed: number): void {
  const random = new Random(seed);
  for (let batch = 0; batch * BATCH < count; batch++) {
    const isWide = batch % FLOAT64_EVERY === 0;
    const texts = Array.from({ length: BATCH }, () => randomNumber(random));
    const expected = texts.map(nearestFloat32);
    const inRange = texts.filter((_, index) => Number.isFinite(expected[index]));
    const finite = expected.filter(Number.isFinite);
    const wide = isWide ? inRange.map(Number) : [];
    const float32s = Float32Array.from({ length: BATCH }, () => randomFloat32(random));
    const float64s = Float64Array.from({ length: isWide ? BATCH : 0 }, () => randomFloat64(random));
    for (const addon of CODECS) {
      expectSame(readNumbers(inRange, 'float32', addon), finite, inRange);
      writeNumbers(float32s, addon).forEach((text, index) => {
        expectShortest(text, float32s[index]);
      });
      if (!isWide) continue;
      expectSame(readNumbers(inRange, 'float64', addon), wide, inRange);
      writeNumbers(float64s, addon).forEach((text, index) => {
        if (text !== String(float64s[index])) expect(text).toBe(String(float64s[index]));
      });
    }
  }
}
