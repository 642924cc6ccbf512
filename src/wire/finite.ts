import type { AnswerTensor } from '../domain/answer.ts';
import type { RealArray } from '../domain/tensor.ts';
import { assertWritable } from './json/byte-writer.ts';
import { codecAddon } from './native/addon.ts';

const FLOAT32_EXPONENT = 0x7f800000;
/** In the upper half of a float64, which is the second on a little-endian machine. */
const FLOAT64_EXPONENT = 0x7ff00000;

/** Of fewer elements than this it is sooner known than the way into the addon takes. */
const ADDON_LENGTH = 256;

/** The first element that is NaN or infinite, or -1. */
export function firstNotFinite(data: RealArray): number {
  if (codecAddon === null || data.length < ADDON_LENGTH) return firstNotFinitePortable(data);
  return codecAddon.firstNotFinite(data);
}

/**
 * As `firstNotFinite`, without the addon. These are the numbers whose exponent is all ones (IEEE 754), and looking at the
 * bits keeps to one loop over integers for each width, where numbers of both widths in one loop are half as fast.
 */
export function firstNotFinitePortable(data: RealArray): number {
  const { buffer, byteOffset, length } = data;
  if (data instanceof Float32Array) return firstFull32(new Int32Array(buffer, byteOffset, length));
  return firstFull64(new Int32Array(buffer, byteOffset, length * 2));
}

/** Throws for NaN and Infinity among results, a kernel's fault; -Infinity is a masked logit. */
export function assertAllWritable(data: AnswerTensor['data']): void {
  if (data instanceof Int32Array) return;
  const first = firstNotFinite(data);
  if (first < 0) return;
  for (let element = first; element < data.length; element++) assertWritable(data[element], element);
}

function firstFull32(words: Int32Array): number {
  for (let at = 0; at < words.length; at++) {
    if ((words[at] & FLOAT32_EXPONENT) === FLOAT32_EXPONENT) return at;
  }
  return -1;
}

function firstFull64(words: Int32Array): number {
  for (let at = 1; at < words.length; at += 2) {
    if ((words[at] & FLOAT64_EXPONENT) === FLOAT64_EXPONENT) return at >> 1;
  }
  return -1;
}
