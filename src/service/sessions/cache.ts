import type { PastTokens, SessionShape } from '../../contract/session.ts';
import type { HeadView, KeptPresent } from '../../domain/call.ts';
import { bytesPerElement, type RealArray } from '../../domain/tensor.ts';
import { allocateLines } from '../../kernels/memory.ts';

/** The smallest memory that is made. */
const LEAST_ROWS = 64;
/** Memory of more rows than this for each one that is seen is left for smaller memory. */
const MOST_SLACK = 4;

/**
 * Keys and values of a session, [G, capacity, d] each. It is never changed: an append lays its tokens out in another
 * one, on the same memory where they fit behind the others, and the session takes that once the append has succeeded.
 */
export interface Cache {
  readonly capacity: number;
  readonly key: RealArray;
  readonly value: RealArray;
  /** The token in row 0. */
  readonly firstToken: number;
}

/** Tokens before `position` that the token there may see: all, or as many as the window of the layer is wide. */
export function visibleBefore({ windowLeft }: SessionShape, position: number): number {
  return windowLeft === null ? position : Math.min(position, windowLeft);
}

/** The visible ones of them, where they lie. */
export function pastAt(cache: Cache | null, shape: SessionShape, position: number): PastTokens | null {
  const rows = visibleBefore(shape, position);
  if (cache === null || rows === 0) return null;
  return { rows, ...viewsFrom(cache, shape, position - rows, true) };
}

/** Bytes of memory for so many rows. */
export function cacheBytes(
  { kvHeads, headSize, valueHeadSize, precision }: SessionShape,
  rows: number,
): number {
  return rows * kvHeads * (headSize + valueHeadSize) * bytesPerElement(precision);
}

/** Rows of the memory that an append needs; null where the tokens fit behind the others. */
export interface Room {
  /** What it takes at least. */
  readonly least: number;
  /** With room for more, so that a session of n tokens has moved them log n times. */
  readonly ample: number;
}

/**
 * The memory that `count` tokens at `position` have to move to. A cache that a window bounds is left, too, when it has
 * become much larger than what the window shows.
 */
export function roomFor(
  cache: Cache | null,
  shape: SessionShape,
  position: number,
  count: number,
): Room | null {
  const least = visibleBefore(shape, position) + count;
  const ample = Math.min(Math.max(LEAST_ROWS, 2 * least), shape.maxLength);
  if (cache === null) return { least, ample };
  const isFull = position + count - cache.firstToken > cache.capacity;
  const isTooLarge = cache.capacity > MOST_SLACK * Math.max(LEAST_ROWS, least);
  return isFull || isTooLarge ? { least, ample } : null;
}

/** New memory for the tokens that are seen from `position` on. */
export function makeCache(shape: SessionShape, position: number, capacity: number): Cache {
  const { kvHeads, headSize, valueHeadSize, precision } = shape;
  return {
    capacity,
    key: allocateLines(precision, kvHeads * capacity * headSize),
    value: allocateLines(precision, kvHeads * capacity * valueHeadSize),
    firstToken: position - visibleBefore(shape, position),
  };
}

/**
 * Where an append at `position` keeps its keys and values in the cache that it is laid out in: the new ones behind those
 * of the same memory, or in new memory the past ones too.
 */
export function keptPresent(
  before: Cache | null,
  after: Cache,
  shape: SessionShape,
  position: number,
): KeptPresent {
  const past = visibleBefore(shape, position);
  const isSame = before?.key === after.key;
  // New memory is weighed by every thread that meets it, so that they let go of the old.
  return { from: isSame ? past : 0, ...viewsFrom(after, shape, position - past, isSame) };
}

/** The rows from a token on. */
function viewsFrom(
  cache: Cache,
  shape: SessionShape,
  token: number,
  isKept: boolean,
): { key: HeadView; value: HeadView } {
  const view = (data: RealArray, size: number): HeadView => ({
    data: data.subarray((token - cache.firstToken) * size),
    batchStride: data.length,
    headStride: cache.capacity * size,
    rowStride: size,
    isKept,
  });
  return { key: view(cache.key, shape.headSize), value: view(cache.value, shape.valueHeadSize) };
}
