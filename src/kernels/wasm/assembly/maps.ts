// Attention maps: the logits and weights that were asked for, made again from what the output was made with.
import { exp } from './elementary';
import { turnPanel } from './pack';
import { cap, dotProducts, mask } from './scores';
import { broadcast, larger, ROW } from './simd';
import { BLOCK, firstKey, keyCount, Panel, softcap } from './state';

/** How far a logit goes: raw and scaled differ in the scale of the queries alone. */
const CAPPED: i32 = 1;
const MASKED: i32 = 2;

/**
 * Logits of a panel for the keys in memory, [lanes][keys] rows; `s` is room for a block. Returns whether one of them is
 * not finite although it is no forbidden key's.
 */
export function logitRows(panel: Panel, row: i32, lanes: i32, stage: i32, s: usize, rows: usize): bool {
  const last = firstKey + keyCount;
  const infinity = broadcast(Infinity);
  let lost = false;
  for (let block = firstKey; block < last; block += BLOCK) {
    const end = min(block + BLOCK, last);
    dotProducts(panel, block, end, s);
    if (stage >= CAPPED && softcap != 0) cap(end - block, s);
    if (stage == MASKED && mask(panel, row, lanes, block, end, s)) lost = true;
    for (let at = s; at < s + <usize>(end - block) * ROW; at += 16) {
      if (!i32x4.all_true(f32x4.lt(v128.load(at), infinity))) lost = true;
    }
    turnPanel(s, end - block, lanes, rows + (<usize>(block - firstKey) << 2), <usize>keyCount << 2);
  }
  return lost;
}

/** What becomes of weights that a head before has left. */
const SUM: i32 = 1;
const MAX: i32 = 2;

/**
 * Weights of a panel for the keys in memory, exp(logit - top)·factor with the statistics of the output, into `weights`
 * [keys][8]: in place of what is there, added to it (1) or the larger of both (2).
 */
export function weigh(panel: Panel, row: i32, lanes: i32, reduce: i32, s: usize, weights: usize): void {
  const last = firstKey + keyCount;
  const top0 = v128.load(panel.top);
  const top1 = v128.load(panel.top, 16);
  const factor0 = v128.load(panel.factor);
  const factor1 = v128.load(panel.factor, 16);
  for (let block = firstKey; block < last; block += BLOCK) {
    const end = min(block + BLOCK, last);
    dotProducts(panel, block, end, s);
    if (softcap != 0) cap(end - block, s);
    mask(panel, row, lanes, block, end, s);
    const target = weights + <usize>(block - firstKey) * ROW;
    for (let at: usize = 0; at < <usize>(end - block) * ROW; at += ROW) {
      const weight0 = f32x4.mul(exp(f32x4.sub(v128.load(s + at), top0)), factor0);
      const weight1 = f32x4.mul(exp(f32x4.sub(v128.load(s + at, 16), top1)), factor1);
      v128.store(target + at, reduced(reduce, v128.load(target + at), weight0));
      v128.store(target + at, reduced(reduce, v128.load(target + at, 16), weight1), 16);
    }
  }
}

// @ts-ignore: decorator
@inline
function reduced(reduce: i32, before: v128, weight: v128): v128 {
  if (reduce == SUM) return f32x4.add(before, weight);
  if (reduce == MAX) return larger(before, weight);
  return weight;
}

/** Weights [keys][8] as rows [lanes][keys]. */
export function weightRows(weights: usize, lanes: i32, rows: usize): void {
  turnPanel(weights, keyCount, lanes, rows, <usize>keyCount << 2);
}
