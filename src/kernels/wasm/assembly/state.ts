// What is being computed: set by the functions here before the work is called, and read by it.
import { COLUMN, LANES, ROW } from './simd';

/** Keys taken at a time: whole panels of A. Blocks begin at multiples of it. */
export const BLOCK: i32 = 192;

/**
 * A panel of queries, as it lies in memory: for each lane the keys [from, to) that it may see, its position (float32
 * holds all of them exactly, which the plan checks), its running maximum and sum, a factor and its ALiBi slope; for all
 * lanes together the keys that any and that each of them may see, and the largest Σ|q_c|; then Qᵀ·scale [headSize][8] and Oᵀ
 * [valueSize][8].
 */
@unmanaged
export class Panel {
  // @ts-ignore: decorator
  @inline get from(): usize {
    return changetype<usize>(this);
  }
  // @ts-ignore: decorator
  @inline get to(): usize {
    return changetype<usize>(this) + ROW;
  }
  // @ts-ignore: decorator
  @inline get position(): usize {
    return changetype<usize>(this) + 2 * ROW;
  }
  // @ts-ignore: decorator
  @inline get top(): usize {
    return changetype<usize>(this) + 3 * ROW;
  }
  // @ts-ignore: decorator
  @inline get sum(): usize {
    return changetype<usize>(this) + 4 * ROW;
  }
  // @ts-ignore: decorator
  @inline get factor(): usize {
    return changetype<usize>(this) + 5 * ROW;
  }
  // @ts-ignore: decorator
  @inline get slope(): usize {
    return changetype<usize>(this) + 6 * ROW;
  }
  // @ts-ignore: decorator
  @inline get anyFrom(): i32 {
    return load<i32>(changetype<usize>(this), 7 * ROW);
  }
  // @ts-ignore: decorator
  @inline get anyTo(): i32 {
    return load<i32>(changetype<usize>(this), 7 * ROW + 4);
  }
  // @ts-ignore: decorator
  @inline get allFrom(): i32 {
    return load<i32>(changetype<usize>(this), 7 * ROW + 8);
  }
  // @ts-ignore: decorator
  @inline get allTo(): i32 {
    return load<i32>(changetype<usize>(this), 7 * ROW + 12);
  }
  // @ts-ignore: decorator
  @inline get size(): f32 {
    return load<f32>(changetype<usize>(this), 7 * ROW + 16);
  }
  // @ts-ignore: decorator
  @inline set size(size: f32) {
    store<f32>(changetype<usize>(this), size, 7 * ROW + 16);
  }
  // @ts-ignore: decorator
  @inline get q(): usize {
    return changetype<usize>(this) + 8 * ROW;
  }
  // @ts-ignore: decorator
  @inline get o(): usize {
    return changetype<usize>(this) + 8 * ROW + <usize>headSize * ROW;
  }
}

/** Where free memory begins. */
export function heapBase(): usize {
  return __heap_base;
}

// The heads of a tile, which read the same keys.
export let headSize: i32 = 0;
export let valueSize: i32 = 0;
/** S: the keys without the extra ones, which every query may see. */
export let ordinaryKeys: i32 = 0;
/** 0 where there is no softcap. */
export let softcap: f32 = 0;
export let hasAlibi: bool = false;

export function setHead(size: i32, value: i32, ordinary: i32, cap: f32, alibi: bool): void {
  headSize = size;
  valueSize = value;
  ordinaryKeys = ordinary;
  softcap = cap;
  hasAlibi = alibi;
}

// The keys [firstKey, firstKey + keyCount) that are in memory.
export let firstKey: i32 = 0;
export let keyCount: i32 = 0;
/** Kᵀ as operand A, [keys / 6][headSize][6]. */
export let keyPanels: usize = 0;
/** V as operand A, [valueSize / 6][keys][6]. */
export let valuePanels: usize = 0;
/** A byte for each key, 1 where a key or value row is not finite. */
export let marks: usize = 0;
/** Largest |k_c| of a block of keys, Infinity where a row is marked. */
export let keySizes: usize = 0;
/** A byte for each key, 0 where it is padding; 0 where no such mask is given. */
export let keyValid: usize = 0;

export function setKeys(
  first: i32,
  count: i32,
  keys: usize,
  values: usize,
  marked: usize,
  sizes: usize,
  valid: usize,
): void {
  firstKey = first;
  keyCount = count;
  keyPanels = keys;
  valuePanels = values;
  marks = marked;
  keySizes = sizes;
  keyValid = valid;
}

// Rows of bias and masks, one for each query of the tile, `addendStride` elements apart, which begin at `addendKey`.
export let bias: usize = 0;
export let allow: usize = 0;
export let forbid: usize = 0;
export let addendKey: i32 = 0;
export let addendStride: i32 = 0;

/** 0 for what is not given. */
export function setAddends(biases: usize, allowed: usize, forbidden: usize, key: i32, stride: i32): void {
  bias = biases;
  allow = allowed;
  forbid = forbidden;
  addendKey = key;
  addendStride = stride;
}

/** Bytes from one panel of V to the next. */
// @ts-ignore: decorator
@inline
export function valueStride(): usize {
  return <usize>keyCount * COLUMN;
}

/** Lane 0 of panel `index` is this row of the tile. */
// @ts-ignore: decorator
@inline
export function rowOfPanel(index: i32): i32 {
  return index * LANES;
}
