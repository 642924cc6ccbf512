// Attention of panels of queries: scores, online softmax and weighted sum by blocks of keys.
import { exp } from './elementary';
import { multiply, RESCALE } from './microkernel';
import { turnPanel } from './pack';
import { cap, dotProducts, FORBIDDEN, mask, seenFrom, seenTo } from './scores';
import { broadcast, COLUMN, isFinite, LANES, larger, madd, ROW } from './simd';
import {
  BLOCK,
  firstKey,
  headSize,
  keyCount,
  Panel,
  rowOfPanel,
  softcap,
  valuePanels,
  valueSize,
  valueStride,
} from './state';

/** No key seen yet. */
export function beginPanel(panel: Panel): void {
  for (let at: usize = 0; at < ROW; at += 16) {
    v128.store(panel.top + at, broadcast(FORBIDDEN));
    v128.store(panel.sum + at, broadcast(0));
  }
  memory.fill(panel.o, 0, <usize>valueSize * ROW);
}

/**
 * Takes the keys in memory into the panels of a tile of `rows` queries, `panelBytes` apart; `s` is room for the scores
 * of a block. Each block stays in the cache for all panels. Returns whether a key that is not finite was seen.
 */
export function attend(panels: usize, panelBytes: usize, rows: i32, s: usize): bool {
  const last = firstKey + keyCount;
  let overflow = false;
  for (let block = firstKey; block < last; block += BLOCK) {
    const end = min(block + BLOCK, last);
    for (let index = 0; rowOfPanel(index) < rows; index++) {
      const panel = changetype<Panel>(panels + <usize>index * panelBytes);
      const row = rowOfPanel(index);
      if (attendBlock(panel, row, min(LANES, rows - row), block, end, s)) overflow = true;
    }
  }
  return overflow;
}

function attendBlock(panel: Panel, row: i32, lanes: i32, block: i32, blockEnd: i32, s: usize): bool {
  const from = seenFrom(panel, block, blockEnd);
  const end = seenTo(panel, blockEnd);
  if (from >= end) return false;
  const keys = end - from;
  dotProducts(panel, from, end, s);
  if (softcap != 0) cap(keys, s);
  const overflow = mask(panel, row, lanes, from, end, s);
  softmaxBlock(panel, keys, s);
  const values = valuePanels + <usize>(from - firstKey) * COLUMN;
  multiply(values, valueStride(), valueSize, s, keys, panel.o, RESCALE, panel.factor);
  return overflow;
}

/**
 * One block of the online softmax (FlashAttention, arXiv 2205.14135, algorithm 1): takes the logits s[keys][lane] into
 * the running maximum and sum of each lane, leaves exp(s - maximum) in their place and the factor by which what was
 * summed before has to shrink. Lanes are queries, so nothing ever crosses lanes.
 */
function softmaxBlock(panel: Panel, keys: i32, s: usize): void {
  const end = s + <usize>keys * ROW;
  const before0 = v128.load(panel.top);
  const before1 = v128.load(panel.top, 16);
  let now0 = before0;
  let now1 = before1;
  for (let at = s; at < end; at += ROW) {
    now0 = larger(v128.load(at), now0);
    now1 = larger(v128.load(at, 16), now1);
  }
  const base0 = baseOf(now0);
  const base1 = baseOf(now1);
  const factor0 = exp(f32x4.sub(before0, base0));
  const factor1 = exp(f32x4.sub(before1, base1));
  let total0 = broadcast(0);
  let total1 = broadcast(0);
  for (let at = s; at < end; at += ROW) {
    const weight0 = exp(f32x4.sub(v128.load(at), base0));
    const weight1 = exp(f32x4.sub(v128.load(at, 16), base1));
    v128.store(at, weight0);
    v128.store(at, weight1, 16);
    total0 = f32x4.add(total0, weight0);
    total1 = f32x4.add(total1, weight1);
  }
  v128.store(panel.top, now0);
  v128.store(panel.top, now1, 16);
  // The block is summed by itself: thousands of small weights do not drown one by one in a large sum.
  v128.store(panel.sum, madd(v128.load(panel.sum), factor0, total0));
  v128.store(panel.sum, madd(v128.load(panel.sum, 16), factor1, total1), 16);
  v128.store(panel.factor, factor0);
  v128.store(panel.factor, factor1, 16);
}

/** The maximum; 0 for a lane that has seen no key yet, to keep it away from -Infinity - -Infinity. */
// @ts-ignore: decorator
@inline
function baseOf(maximum: v128): v128 {
  return v128.and(maximum, f32x4.ne(maximum, broadcast(FORBIDDEN)));
}

/**
 * Multiplies Oᵀ by the factor of each lane and writes rows [lanes][valueSize]. Returns whether all of it is finite.
 */
export function finishPanel(panel: Panel, lanes: i32, rows: usize): bool {
  const o = panel.o;
  const f0 = v128.load(panel.factor);
  const f1 = v128.load(panel.factor, 16);
  for (let at = o; at < o + <usize>valueSize * ROW; at += ROW) {
    v128.store(at, f32x4.mul(v128.load(at), f0));
    v128.store(at, f32x4.mul(v128.load(at, 16), f1), 16);
  }
  turnPanel(o, valueSize, lanes, rows, <usize>valueSize << 2);
  return isFinite(rows, lanes * valueSize);
}

/** Bytes of a panel: what stands before Q, Q, and Oᵀ rounded up to whole panels of A. */
export function panelBytes(): usize {
  return 8 * ROW + <usize>headSize * ROW + <usize>(valueSize + 5) * ROW;
}
