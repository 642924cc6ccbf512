// From dot products to logits, for a panel of queries and some keys of a block.
import { tanh } from './elementary';
import { multiply, OVERWRITE } from './microkernel';
import { packLanes } from './pack';
import { broadcast, COLUMN, HEIGHT, LANES, larger, madd, ROW, transposeTile } from './simd';
import {
  addendKey,
  addendStride,
  allow,
  bias,
  BLOCK,
  firstKey,
  forbid,
  hasAlibi,
  headSize,
  keyPanels,
  keySizes,
  keyValid,
  marks,
  ordinaryKeys,
  Panel,
  softcap,
} from './state';

/** The logit of a key that a query may not see. A visible logit never becomes -Infinity. */
export const FORBIDDEN: f32 = -Infinity;

// Tiles of addends: queries x keys, and turned to keys x queries.
const tile: usize = memory.data(64, 16);
const turned: usize = memory.data(64, 16);

/** Qᵀ·scale of the query rows [lanes][headSize]; the last row stands in for lanes beyond it. */
export function packQueries(panel: Panel, rows: usize, lanes: i32, scale: f32): void {
  const q = panel.q;
  packLanes(rows, <usize>headSize << 2, lanes, headSize, q);
  const factor = broadcast(scale);
  let size0 = broadcast(0);
  let size1 = broadcast(0);
  for (let c = 0; c < headSize; c++) {
    const at = q + <usize>c * ROW;
    if (lanes < LANES) {
      const last = load<f32>(at + (<usize>(lanes - 1) << 2));
      for (let lane = lanes; lane < LANES; lane++) store<f32>(at + (<usize>lane << 2), last);
    }
    const x0 = f32x4.mul(v128.load(at), factor);
    const x1 = f32x4.mul(v128.load(at, 16), factor);
    v128.store(at, x0);
    v128.store(at, x1, 16);
    size0 = f32x4.add(size0, f32x4.abs(x0));
    size1 = f32x4.add(size1, f32x4.abs(x1));
  }
  // max of WebAssembly gives NaN where one is, and so does this.
  const sizes = f32x4.max(size0, size1);
  panel.size = max(
    max(f32x4.extract_lane(sizes, 0), f32x4.extract_lane(sizes, 1)),
    max(f32x4.extract_lane(sizes, 2), f32x4.extract_lane(sizes, 3)),
  );
}

/**
 * The first of the keys [block, end) that any lane may see, rounded down to whole panels of A. Keys that no lane sees
 * have weight 0 and are left out; nobody's sums know. Extra keys are seen by all.
 */
// @ts-ignore: decorator
@inline
export function seenFrom(panel: Panel, block: i32, end: i32): i32 {
  let from = panel.anyFrom;
  if (end > ordinaryKeys) from = min(from, ordinaryKeys);
  from = max(from, block);
  return from - ((from - firstKey) % HEIGHT);
}

/** The end of them, at or before `seenFrom` where there are none. */
// @ts-ignore: decorator
@inline
export function seenTo(panel: Panel, end: i32): i32 {
  return end > ordinaryKeys ? end : min(end, panel.anyTo);
}

/**
 * q·k for the keys [from, end) of one block: s[key - from][lane]. NaN where it is too large for float32, so that it
 * cannot be taken for a forbidden key.
 */
export function dotProducts(panel: Panel, from: i32, end: i32, s: usize): void {
  const stride = <usize>headSize * COLUMN;
  const keys = keyPanels + <usize>((from - firstKey) / HEIGHT) * stride;
  multiply(keys, stride, end - from, panel.q, headSize, s, OVERWRITE, 0);
  if (!mayOverflow(panel, from)) return;
  for (let at = s; at < s + <usize>(end - from) * ROW; at += 16) {
    const x = v128.load(at);
    v128.store(at, f32x4.add(x, f32x4.mul(x, broadcast(0))));
  }
}

/** c·tanh(s/c). */
export function cap(keys: i32, s: usize): void {
  const c = broadcast(softcap);
  const inverse = broadcast(1 / softcap);
  for (let at = s; at < s + <usize>keys * ROW; at += 16) {
    v128.store(at, f32x4.mul(c, tanh(f32x4.mul(v128.load(at), inverse))));
  }
}

/**
 * Adds ALiBi and bias, and -Infinity where a lane may not see the key. `row` and `lanes` are the rows of the tile that
 * the lanes stand for. Returns whether a key that is not finite was seen.
 */
export function mask(panel: Panel, row: i32, lanes: i32, from: i32, end: i32, s: usize): bool {
  const last = min(end, ordinaryKeys);
  if (hasAlibi) addAlibi(panel, from, last, s);
  if (bias != 0 || allow != 0 || forbid != 0) addAddends(row, lanes, from, last, s);
  if (from < panel.allFrom || end > panel.allTo || keyValid != 0) forbidOutside(panel, from, last, s);
  return mayOverflow(panel, from) && seesMarked(lanes, from, end, s);
}

/** Whether |q·k| <= Σ|q_c|·max|k_c| leaves room for biases of any size beside it. */
function mayOverflow(panel: Panel, key: i32): bool {
  const largest = load<f32>(keySizes + (<usize>((key - firstKey) / BLOCK) << 2));
  return !(panel.size * largest < 1e30);
}

function seesMarked(lanes: i32, from: i32, end: i32, s: usize): bool {
  for (let key = from; key < end; key++) {
    if (load<u8>(marks + (key - firstKey)) == 0) continue;
    for (let lane = 0; lane < lanes; lane++) {
      if (load<f32>(s + <usize>(key - from) * ROW + (<usize>lane << 2)) != FORBIDDEN) return true;
    }
  }
  return false;
}

function addAlibi(panel: Panel, from: i32, last: i32, s: usize): void {
  const minus0 = f32x4.neg(v128.load(panel.slope));
  const minus1 = f32x4.neg(v128.load(panel.slope, 16));
  const p0 = v128.load(panel.position);
  const p1 = v128.load(panel.position, 16);
  for (let key = from; key < last; key++) {
    const at = s + <usize>(key - from) * ROW;
    const j = broadcast(<f32>key);
    v128.store(at, visible(madd(minus0, f32x4.abs(f32x4.sub(p0, j)), v128.load(at))));
    v128.store(at, visible(madd(minus1, f32x4.abs(f32x4.sub(p1, j)), v128.load(at, 16))), 16);
  }
}

/** A logit that has become -Infinity is held at the smallest number. */
// @ts-ignore: decorator
@inline
function visible(logit: v128): v128 {
  return larger(logit, broadcast(-f32.MAX_VALUE));
}

/** Bias and masks come as rows of keys for each query, so tiles of 4 queries x 4 keys are turned to the lanes. */
function addAddends(row: i32, lanes: i32, from: i32, last: i32, s: usize): void {
  for (let key = from; key < last; key += 4) {
    const keys = min(4, last - key);
    for (let lane = 0; lane < LANES; lane += 4) {
      for (let i = 0; i < 4; i++) {
        v128.store(tile + (<usize>i << 4), addendsOf(row + min(lane + i, lanes - 1), key));
      }
      transposeTile(tile, 16, turned, 16);
      for (let j = 0; j < keys; j++) {
        const at = s + <usize>(key - from + j) * ROW + (<usize>lane << 2);
        const addend = v128.load(turned + (<usize>j << 4));
        const logit = visible(f32x4.add(v128.load(at), addend));
        v128.store(at, v128.bitselect(addend, logit, f32x4.eq(addend, broadcast(FORBIDDEN))));
      }
    }
  }
}

/** Bias of four keys, -Infinity where a mask forbids; rows may be read beyond their end, for keys that nobody asks for. */
// @ts-ignore: decorator
@inline
function addendsOf(row: i32, key: i32): v128 {
  const at = <usize>row * <usize>addendStride + <usize>(key - addendKey);
  let sum = bias == 0 ? broadcast(0) : v128.load(bias + (at << 2));
  const forbidden = broadcast(FORBIDDEN);
  if (allow != 0) sum = v128.bitselect(forbidden, sum, zeroBytes(allow + at));
  if (forbid != 0) sum = v128.bitselect(sum, forbidden, zeroBytes(forbid + at));
  return sum;
}

/** Of four bytes, all bits where one is 0. */
// @ts-ignore: decorator
@inline
function zeroBytes(at: usize): v128 {
  const words = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at)));
  return i32x4.eq(words, i32x4.splat(0));
}

function forbidOutside(panel: Panel, from: i32, last: i32, s: usize): void {
  const from0 = v128.load(panel.from);
  const from1 = v128.load(panel.from, 16);
  const to0 = v128.load(panel.to);
  const to1 = v128.load(panel.to, 16);
  const forbidden = broadcast(FORBIDDEN);
  for (let key = from; key < last; key++) {
    const at = s + <usize>(key - from) * ROW;
    const valid = keyValid == 0 || load<u8>(keyValid + (key - firstKey)) != 0;
    const j = broadcast(valid ? <f32>key : -1);
    const inside0 = v128.and(f32x4.ge(j, from0), f32x4.lt(j, to0));
    const inside1 = v128.and(f32x4.ge(j, from1), f32x4.lt(j, to1));
    v128.store(at, v128.bitselect(v128.load(at), forbidden, inside0));
    v128.store(at, v128.bitselect(v128.load(at, 16), forbidden, inside1), 16);
  }
}
