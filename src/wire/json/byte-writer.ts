import type { AnswerTensor } from '../../domain/answer.ts';
import { copyBytes } from '../copy-bytes.ts';
import { type CodecAddon, codecAddon, WritePlace, WriteStop } from '../native/addon.ts';
import { answerBytes } from '../shared-memory.ts';
import { COMMA, DIGIT_0, MINUS, QUOTE } from './ascii.ts';
import { writeDecimal, writeInteger } from './decimal-notation.ts';
import { Scratch } from './scratch.ts';
import { ShortestFloat32 } from './shortest-float32.ts';

/** A sign, `0.`, five zeros, 17 digits and a comma: no number takes more. */
const LONGEST_NUMBER = 26;
/** Memory is made sure of for so many numbers at a time. */
const BATCH = 1024;

/** Room that the addon asks for before it writes an element, and about what an element takes. */
const NATIVE_ROOM = 64;
const USUAL_NUMBER = 12;
const NO_ARRAYS = new Float64Array(0);

const place = new Float64Array(WritePlace.length);
const scratch = new Scratch((count) => new Uint8Array(count));
const shortest = new ShortestFloat32();
/** The float64s that are being written, no more than BATCH. */
let batch: number[] = [];

/** Writes text and numbers as UTF-8 into memory that grows, and that the next body uses again. */
export class ByteWriter {
  #bytes = scratch.array;
  #length = 0;
  readonly #addon: CodecAddon | null;

  /** Writes numbers with `addon`, or in TypeScript where there is none; the bytes are the same. */
  constructor(addon: CodecAddon | null = codecAddon) {
    this.#addon = addon;
  }

  /** The bytes so far, in memory for an answer. */
  finish(): Uint8Array {
    const bytes = answerBytes(this.#length);
    copyBytes(this.#bytes.subarray(0, this.#length), bytes, 0);
    return bytes;
  }

  text(text: string): void {
    this.#reserve(Buffer.byteLength(text));
    const { buffer, byteOffset } = this.#bytes;
    this.#length += Buffer.from(buffer, byteOffset).write(text, this.#length);
  }

  byte(byte: number): void {
    if (this.#length === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  /** The little-endian bytes of the elements as a string of base64. */
  base64({ buffer, byteOffset, byteLength }: AnswerTensor['data']): void {
    const text = Buffer.from(buffer, byteOffset, byteLength).toString('base64');
    this.byte(QUOTE);
    this.#reserve(text.length);
    // In an encoding of one byte, the length is known.
    this.#length += Buffer.from(this.#bytes.buffer).write(text, this.#length, 'latin1');
    this.byte(QUOTE);
  }

  /**
   * Elements `from` to before `to`, with commas between them. As JSON.stringify does, it writes -0 as 0 and
   * -Infinity (a masked logit) as null. Throws for NaN and Infinity, which no result may hold.
   */
  numbers(data: AnswerTensor['data'], from: number, to: number): void {
    if (this.#addon !== null && !(data instanceof Int32Array)) {
      this.#native(this.#addon, data, NO_ARRAYS, from, to);
      return;
    }
    for (let start = from; start < to; start += BATCH) {
      const end = Math.min(start + BATCH, to);
      this.#reserve((end - start) * LONGEST_NUMBER);
      if (start > from) this.#bytes[this.#length++] = COMMA;
      if (data instanceof Float32Array) this.#float32s(data, start, end);
      else if (data instanceof Int32Array) this.#int32s(data, start, end);
      else this.#float64s(data, start, end);
    }
  }

  /**
   * All elements in nested arrays of this shape, as numbers() writes them. Returns false, with nothing written, where
   * that is to be done row by row.
   */
  arrays({ shape, data }: AnswerTensor): boolean {
    if (this.#addon === null || data instanceof Int32Array || data.length === 0 || shape.length === 0)
      return false;
    this.#native(this.#addon, data, Float64Array.from(shape), 0, data.length);
    return true;
  }

  #native(
    addon: CodecAddon,
    data: Float32Array | Float64Array,
    sizes: Float64Array,
    from: number,
    to: number,
  ): void {
    place[WritePlace.element] = from;
    place[WritePlace.end] = to;
    place[WritePlace.at] = this.#length;
    let stop: number = WriteStop.full;
    while (stop === WriteStop.full) {
      this.#reserve(NATIVE_ROOM + (to - place[WritePlace.element]) * USUAL_NUMBER);
      stop = addon.writeElements(data, sizes, place, this.#bytes);
      this.#length = place[WritePlace.at];
    }
    const element = place[WritePlace.element];
    if (stop === WriteStop.notWritable) assertWritable(data[element], element);
  }

  #float32s(data: Float32Array, from: number, to: number): void {
    const bits = new Int32Array(data.buffer, data.byteOffset, data.length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let element = from; element < to; element++) {
      if (element > from) bytes[at++] = COMMA;
      const value = data[element];
      if (value === 0) {
        bytes[at++] = DIGIT_0;
      } else if (value - value === 0) {
        if (value < 0) bytes[at++] = MINUS;
        shortest.find(bits[element]);
        at = writeDecimal(bytes, at, shortest.digits, shortest.exponent);
      } else {
        at = writeNull(bytes, at, value, element);
      }
    }
    this.#length = at;
  }

  /** As JSON.stringify writes them, so by it: from an array that is used again, since making one costs a fifth. */
  #float64s(data: Float64Array, from: number, to: number): void {
    if (batch.length !== to - from) batch = new Array<number>(to - from).fill(0.5);
    for (let element = from; element < to; element++) {
      const value = data[element];
      if (!(value < Number.POSITIVE_INFINITY)) assertWritable(value, element);
      batch[element - from] = value;
    }
    const text = JSON.stringify(batch).slice(1, -1);
    this.#length += Buffer.from(this.#bytes.buffer).write(text, this.#length, 'latin1');
  }

  #int32s(data: Int32Array, from: number, to: number): void {
    const bytes = this.#bytes;
    let at = this.#length;
    for (let element = from; element < to; element++) {
      if (element > from) bytes[at++] = COMMA;
      if (data[element] < 0) bytes[at++] = MINUS;
      at = writeInteger(bytes, at, Math.abs(data[element]));
    }
    this.#length = at;
  }

  #reserve(count: number): void {
    while (this.#length + count > this.#bytes.length) this.#bytes = scratch.grow();
  }
}

/** Gives back what a large body has taken; called when it has been written. */
export function releaseBytes(): void {
  scratch.release();
}

/** JSON has no word for a logit that a mask took away; null stands for it. */
function writeNull(bytes: Uint8Array, at: number, value: number, element: number): number {
  assertWritable(value, element);
  return writeAscii(bytes, at, 'null');
}

/** Throws for NaN and Infinity: a kernel's fault, which must not leave the service as a number. */
export function assertWritable(value: number, element: number): void {
  if (Number.isNaN(value) || value === Number.POSITIVE_INFINITY) {
    throw new Error(`Element ${element} of a result is ${value}`);
  }
}

function writeAscii(bytes: Uint8Array, at: number, text: string): number {
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
  return at + text.length;
}
