import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * The face of the C++ addon, addon/binding.cc: the loops over the numbers of a tensor, as text and, for every format, as
 * bytes. Reading and writing, for what has no fault, go on from a place, leave there how far they have come, and return
 * why they stopped. Throws a RangeError for arguments that do not fit.
 */
export interface CodecAddon {
  /** Reads the bytes before `end`, from `ReadPlace` on. Returns a `ReadStop`. */
  readElements(
    bytes: Uint8Array,
    end: number,
    place: Float64Array,
    elements: Float32Array | Float64Array | Uint8Array,
  ): number;
  /**
   * Writes elements, from `WritePlace` on, with commas between them. `sizes`: of the arrays around them, the outermost
   * first; with none, there are no brackets. Returns a `WriteStop`.
   */
  writeElements(
    elements: Float32Array | Float64Array,
    sizes: Float64Array,
    place: Float64Array,
    bytes: Uint8Array,
  ): number;
  /** The first element that is NaN or infinite, or -1. */
  firstNotFinite(elements: Float32Array | Float64Array): number;
  /** As `to.set(from, at)`. */
  copyBytes(from: Uint8Array, to: Uint8Array, at: number): void;
}

/** Where the numbers of a place to read from stand; read_elements.h says what they mean. */
export const ReadPlace = {
  position: 0,
  count: 1,
  rowStart: 2,
  expected: 3,
  level: 4,
  rank: 5,
  sizes: 6,
  entries: 10,
  length: 14,
} as const;

export const Expected = { value: 0, element: 1, next: 2 } as const;

export const ReadStop = { done: 0, full: 1, undecided: 2, fault: 3 } as const;

/** Where the numbers of a place to write at stand: the next element, the one before which to end, and the next byte. */
export const WritePlace = { element: 0, end: 1, at: 2, length: 3 } as const;

export const WriteStop = { done: 0, full: 1, notWritable: 2 } as const;

export const ADDON_PATH = fileURLToPath(new URL('../../../build/codec.node', import.meta.url));

/** The addon, or null where it has not been compiled, or not for this processor: then the portable codec does it all. */
export const codecAddon: CodecAddon | null = loadAddon();

function loadAddon(): CodecAddon | null {
  try {
    return createRequire(import.meta.url)(ADDON_PATH) as CodecAddon;
  } catch {
    return null;
  }
}
