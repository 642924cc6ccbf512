// Rows and columns brought side by side, as the inner loop reads them: k-th elements of `width` rows together.
import { broadcast, COLUMN, HEIGHT, LANES, ROW, transposeTile } from './simd';

/** Panel of `count` rows of `depth` numbers, `stride` bytes apart: to[k·width + i] = from_i[k], 0 for i >= count. */
// @ts-ignore: decorator
@inline
function packRows(from: usize, stride: usize, count: i32, depth: i32, to: usize, width: i32): void {
  const step = <usize>width << 2;
  const whole = depth & ~3;
  for (let i = 0; i < width; i += 4) {
    const at = to + (<usize>i << 2);
    if (i + 2 == width && count == width) {
      packPair(from + <usize>i * stride, stride, depth, at, step);
      continue;
    }
    if (i + 4 <= count) {
      for (let k = 0; k < whole; k += 4) {
        transposeTile(from + <usize>i * stride + (<usize>k << 2), stride, at + <usize>k * step, step);
      }
      for (let j = 0; j < 4; j++) packRow(from + <usize>(i + j) * stride, whole, depth, at + (<usize>j << 2), step);
      continue;
    }
    for (let j = i; j < min(i + 4, width); j++) {
      const column = to + (<usize>j << 2);
      if (j < count) packRow(from + <usize>j * stride, 0, depth, column, step);
      else for (let k = 0; k < depth; k++) store<f32>(column + <usize>k * step, 0);
    }
  }
}

/** The last two rows of a panel whose width is no multiple of four. */
// @ts-ignore: decorator
@inline
function packPair(from: usize, stride: usize, depth: i32, to: usize, step: usize): void {
  const whole = depth & ~3;
  for (let k = 0; k < whole; k += 4) {
    const r0 = v128.load(from + (<usize>k << 2));
    const r1 = v128.load(from + stride + (<usize>k << 2));
    const first = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
    const second = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const at = to + <usize>k * step;
    v128.store64_lane(at, first, 0);
    v128.store64_lane(at + step, first, 1);
    v128.store64_lane(at + 2 * step, second, 0);
    v128.store64_lane(at + 3 * step, second, 1);
  }
  packRow(from, whole, depth, to, step);
  packRow(from + stride, whole, depth, to + 4, step);
}

// @ts-ignore: decorator
@inline
function packRow(from: usize, first: i32, depth: i32, to: usize, step: usize): void {
  for (let k = first; k < depth; k++) store<f32>(to + <usize>k * step, load<f32>(from + (<usize>k << 2)));
}

/** Rows as operand A: panels of 6 rows, [rows / 6][depth][6]. */
export function packHeight(from: usize, stride: usize, rows: i32, depth: i32, to: usize): void {
  for (let row = 0; row < rows; row += HEIGHT) {
    packRows(from + <usize>row * stride, stride, min(HEIGHT, rows - row), depth, to, HEIGHT);
    to += <usize>depth * COLUMN;
  }
}

/** Rows as operand B: panels of 8 rows, [rows / 8][depth][8]. */
export function packLanes(from: usize, stride: usize, rows: i32, depth: i32, to: usize): void {
  for (let row = 0; row < rows; row += LANES) {
    packRows(from + <usize>row * stride, stride, min(LANES, rows - row), depth, to, LANES);
    to += <usize>depth * ROW;
  }
}

/**
 * Columns as operand B where rows of the matrix are `stride` bytes apart: panels [columns / 8][depth][8], `panelStride`
 * bytes apart, zeros beyond the last column.
 */
export function packLaneColumns(
  from: usize,
  stride: usize,
  columns: i32,
  depth: i32,
  to: usize,
  panelStride: usize,
): void {
  for (let column = 0; column < columns; column += LANES) {
    const count = columns - column;
    let source = from + (<usize>column << 2);
    let target = to;
    for (let k = 0; k < depth; k++) {
      if (count >= LANES) {
        v128.store(target, v128.load(source));
        v128.store(target, v128.load(source, 16), 16);
      } else {
        v128.store(target, broadcast(0));
        v128.store(target, broadcast(0), 16);
        for (let i = 0; i < count; i++) store<f32>(target + (<usize>i << 2), load<f32>(source + (<usize>i << 2)));
      }
      source += stride;
      target += ROW;
    }
    to += panelStride;
  }
}

/** Columns [0, columns) of `depth` contiguous rows as operand A: panels of 6 columns `panelStride` bytes apart. */
export function packHeightColumns(
  from: usize,
  columns: i32,
  depth: i32,
  to: usize,
  panelStride: usize,
): void {
  const stride = <usize>columns << 2;
  for (let column = 0; column < columns; column += HEIGHT) {
    const count = min(HEIGHT, columns - column);
    let source = from + (<usize>column << 2);
    let target = to;
    for (let k = 0; k < depth; k++) {
      if (count == HEIGHT) {
        v128.store(target, v128.load(source));
        store<u64>(target, load<u64>(source, 16), 16);
      } else {
        for (let i = 0; i < HEIGHT; i++) {
          const x: f32 = i < count ? load<f32>(source + (<usize>i << 2)) : 0;
          store<f32>(target + (<usize>i << 2), x);
        }
      }
      source += stride;
      target += COLUMN;
    }
    to += panelStride;
  }
}

/** A panel turned back into rows: to[lane·toStride + r] = from[r·8 + lane] for r < rows, lane < lanes. */
export function turnPanel(from: usize, rows: i32, lanes: i32, to: usize, toStride: usize): void {
  const whole = rows & ~3;
  for (let lane = 0; lane < lanes; lane += 4) {
    const column = from + (<usize>lane << 2);
    const target = to + <usize>lane * toStride;
    const all = lane + 4 <= lanes;
    if (all) {
      for (let r = 0; r < whole; r += 4) {
        transposeTile(column + <usize>r * ROW, ROW, target + (<usize>r << 2), toStride);
      }
    }
    for (let r = all ? whole : 0; r < rows; r++) {
      for (let j = 0; j < min(4, lanes - lane); j++) {
        const x = load<f32>(column + <usize>r * ROW + (<usize>j << 2));
        store<f32>(target + <usize>j * toStride + (<usize>r << 2), x);
      }
    }
  }
}
