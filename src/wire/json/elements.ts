import { type DType, elementCount } from '../../domain/tensor.ts';
import { SAFE_INTEGER } from '../dtypes.ts';
import { type CodecAddon, codecAddon } from '../native/addon.ts';
import { CLOSE_BRACKET, COMMA, SPACE } from './ascii.ts';
import { afterWhitespace, type Cursor, holds } from './cursor.ts';
import type { DecimalScanner } from './decimal-scanner.ts';
import { type Locate, notAnElement, outOfRange } from './element-faults.ts';
import { NativeReader } from './native-reader.ts';
import { nearestFloat64, nearestNarrow } from './nearest.ts';
import { BFLOAT16, FLOAT16, FLOAT32, type NarrowFormat } from './rounding.ts';
import { type ElementScratch, Scratch } from './scratch.ts';

/** Powers of ten from 10^-70 to 10^70, each the float64 nearest to it. */
const LARGEST_SCALE = 70;
const SCALES = Float64Array.from({ length: 2 * LARGEST_SCALE + 1 }, (_, index) =>
  Number(`1e${index - LARGEST_SCALE}`),
);

/**
 * A significand times a scale is off by less than 2^-48 of itself: 2^-49 of the significand (see
 * DecimalScanner), 2^-53 of the scale and 2^-53 of the product. So the number lies between these two multiples.
 */
const BELOW = 1 - 2 ** -48;
const ABOVE = 1 + 2 ** -48;

const float32Scratch = new Scratch<Float32Array>((count) => new Float32Array(count));
const float64Scratch = new Scratch<Float64Array>((count) => new Float64Array(count));
const byteScratch = new Scratch<Uint8Array>((count) => new Uint8Array(count));

/** Of the dtypes that the addon reads; integers as float64, which are looked at afterwards. */
const NATIVE_SCRATCH: Readonly<Partial<Record<DType, ElementScratch>>> = {
  float32: float32Scratch,
  float64: float64Scratch,
  int32: float64Scratch,
  int64: float64Scratch,
  bool: byteScratch,
};

const FITS = {
  int32: (value: number) => value === (value | 0),
  int64: Number.isSafeInteger,
} as const;

/**
 * Reads rows, which are innermost arrays such as `[1, 0.5]`, one after another into scratch memory. Nothing is
 * allocated for a number, but for the few that need exact arithmetic to be rounded.
 *
 * Each method reads one row: from after its opening bracket to after its closing one. `count` tells how many
 * elements all rows so far have.
 */
export class ElementReader {
  count = 0;
  readonly #cursor: Cursor;
  readonly #numbers: DecimalScanner;
  readonly #locate: Locate;
  #native: NativeReader | null;

  /** Reads with `addon` what it reads, the rest and what has a fault in TypeScript; all of it where there is none. */
  constructor(
    cursor: Cursor,
    numbers: DecimalScanner,
    locate: Locate,
    addon: CodecAddon | null = codecAddon,
  ) {
    this.#cursor = cursor;
    this.#numbers = numbers;
    this.#locate = locate;
    this.#native = addon === null ? null : new NativeReader(addon, cursor, numbers);
  }

  readRow(dtype: DType, zeroOrOne: boolean): void {
    const scratch = dtype === 'bool' && zeroOrOne ? undefined : NATIVE_SCRATCH[dtype];
    const { position } = this.#cursor;
    const count = scratch === undefined ? -1 : (this.#native?.readRow(scratch, this.count) ?? -1);
    if (count >= 0 && takeIntegers(dtype, this.count, count)) {
      this.count = count;
      return;
    }
    this.#cursor.position = position;
    if (dtype === 'float32') this.#readFloat32Row();
    else if (dtype === 'bool') this.#readBoolRow(zeroOrOne);
    else this.#readFloat64Row(dtype);
  }

  /** Reads a short row of float64; behind the first element that is more than `most` it stops, wherever the row ends. */
  readFew(most: number): void {
    this.#readFloat64Row('float64', most);
  }

  /**
   * Reads all rows at once, from the first bracket of nested arrays to after the last one; they have shape `known` where
   * one is given. Returns their shape; undefined, with nothing read, where that is to be done row by row. Rows are then
   * read in TypeScript: many short ones take less time than the way to the addon and back for each.
   */
  readNested(dtype: DType, known?: readonly number[]): readonly number[] | undefined {
    const scratch = NATIVE_SCRATCH[dtype];
    const { position } = this.#cursor;
    const shape = scratch === undefined ? undefined : this.#native?.readNested(scratch, known);
    const count = elementCount(shape ?? []) ?? 0;
    if (shape !== undefined && takeIntegers(dtype, 0, count)) {
      this.count = count;
      return shape;
    }
    this.#cursor.position = position;
    this.#native = null;
    return undefined;
  }

  /** The elements of all rows, in memory that the next tensor overwrites. */
  elements(dtype: DType): Float32Array | Float64Array | Uint8Array {
    const scratch = dtype === 'float32' ? float32Scratch : dtype === 'bool' ? byteScratch : float64Scratch;
    return scratch.array.subarray(0, this.count);
  }

  /**
   * Each decimal is rounded once, to the nearest float32: where the numbers a little below and above it round
   * to the same float32, so does it. One in millions lies so close to a halfway point that they don't.
   */
  #readFloat32Row(): void {
    const { bytes } = this.#cursor;
    const numbers = this.#numbers;
    const first = this.count;
    let out = float32Scratch.array;
    let count = first;
    let position = this.#startRow();
    while (position > 0) {
      const start = position;
      position = numbers.scan(start);
      if (position < 0) throw notAnElement(this.#cursor, start, 'number', this.#locate(count - first));
      // A significand is below 10^19, so that with any smaller exponent, as with the smallest, float32 has 0.
      const scale = Math.max(numbers.exponent + LARGEST_SCALE, 0);
      let value = Number.NaN;
      if (scale < SCALES.length) {
        const near = numbers.significand * SCALES[scale];
        const below = Math.fround(near * BELOW);
        if (below === Math.fround(near * ABOVE) && below < Number.POSITIVE_INFINITY) {
          value = numbers.sign * below;
        }
      }
      if (Number.isNaN(value)) value = this.#narrow(FLOAT32, start, position, count - first, 'float32');
      if (count === out.length) out = float32Scratch.grow();
      out[count++] = value;
      // What most writers put between numbers is a comma, or a comma and a space.
      const afterComma = bytes[position] === COMMA ? position + (bytes[position + 1] === SPACE ? 2 : 1) : 0;
      if (afterComma > 0 && bytes[afterComma] > SPACE) position = afterComma;
      else position = this.#nextInRow(position, count - first);
    }
    this.count = count;
  }

  #readFloat64Row(dtype: Exclude<DType, 'float32' | 'bool'>, most = Number.POSITIVE_INFINITY): void {
    const numbers = this.#numbers;
    const first = this.count;
    let out = float64Scratch.array;
    let position = this.#startRow();
    while (position > 0) {
      const start = position;
      position = numbers.scan(start);
      const ordinal = this.count - first;
      if (position < 0) throw notAnElement(this.#cursor, start, 'number', this.#locate(ordinal));
      if (this.count === out.length) out = float64Scratch.grow();
      out[this.count++] =
        dtype === 'float16'
          ? this.#narrow(FLOAT16, start, position, ordinal, dtype)
          : dtype === 'bfloat16'
            ? this.#narrow(BFLOAT16, start, position, ordinal, dtype)
            : this.#float64(start, position, ordinal, dtype);
      position = ordinal < most ? this.#nextInRow(position, ordinal + 1) : 0;
    }
  }

  #readBoolRow(zeroOrOne: boolean): void {
    const { bytes } = this.#cursor;
    const first = this.count;
    let out = byteScratch.array;
    let position = this.#startRow();
    while (position > 0) {
      const start = position;
      let value = 0;
      if (holds(bytes, start, 'true')) {
        value = 1;
        position += 4;
      } else if (holds(bytes, start, 'false')) {
        position += 5;
      } else {
        position = zeroOrOne ? this.#numbers.scan(start) : -1;
        value = position < 0 ? Number.NaN : nearestFloat64(this.#numbers, this.#cursor, start, position);
        if (value !== 0 && value !== 1) {
          const expected = zeroOrOne ? 'zero or one' : 'boolean';
          throw notAnElement(this.#cursor, start, expected, this.#locate(this.count - first));
        }
      }
      if (this.count === out.length) out = byteScratch.grow();
      out[this.count++] = value;
      position = this.#nextInRow(position, this.count - first);
    }
  }

  /** The place of the first element, or 0 for an empty row, which is then done. */
  #startRow(): number {
    const cursor = this.#cursor;
    const position = afterWhitespace(cursor.bytes, cursor.position);
    if (cursor.bytes[position] !== CLOSE_BRACKET) return position;
    cursor.position = position + 1;
    return 0;
  }

  /** The place of the next element, or 0 where the row ends. `ordinal` is the one of the next element. */
  #nextInRow(after: number, ordinal: number): number {
    const cursor = this.#cursor;
    const position = afterWhitespace(cursor.bytes, after);
    const byte = cursor.bytes[position];
    if (byte === COMMA) return afterWhitespace(cursor.bytes, position + 1);
    if (byte !== CLOSE_BRACKET) {
      const { pointer } = this.#locate(ordinal - 1);
      throw cursor.malformed("Expected ',' or ']' after an element", position, pointer);
    }
    cursor.position = position + 1;
    return 0;
  }

  #float64(start: number, end: number, ordinal: number, dtype: 'float64' | 'int32' | 'int64'): number {
    const value = nearestFloat64(this.#numbers, this.#cursor, start, end);
    if (dtype === 'float64') {
      if (!Number.isFinite(value)) throw outOfRange(this.#cursor, start, dtype, this.#locate(ordinal));
      return value;
    }
    if (!FITS[dtype](value)) {
      const expected = dtype === 'int32' ? 'an integer from -2^31 to 2^31 - 1' : SAFE_INTEGER;
      throw notAnElement(this.#cursor, start, expected, this.#locate(ordinal));
    }
    return value + 0;
  }

  #narrow(format: NarrowFormat, start: number, end: number, ordinal: number, dtype: DType): number {
    const value = nearestNarrow(format, this.#numbers, this.#cursor, start, end);
    if (!Number.isFinite(value)) throw outOfRange(this.#cursor, start, dtype, this.#locate(ordinal));
    return value;
  }
}

/** Whether what the addon has read from element `first` on is of the dtype; of integers -0 becomes 0. */
function takeIntegers(dtype: DType, first: number, end: number): boolean {
  if (dtype !== 'int32' && dtype !== 'int64') return true;
  const fits = FITS[dtype];
  const elements = float64Scratch.array;
  for (let i = first; i < end; i++) {
    if (!fits(elements[i])) return false;
    elements[i] += 0;
  }
  return true;
}

/** Gives back what a large tensor has taken; called when a body has been read. */
export function releaseScratch(): void {
  for (const scratch of [float32Scratch, float64Scratch, byteScratch]) scratch.release();
}
