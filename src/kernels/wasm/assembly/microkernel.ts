// The one inner loop that all products are made of.
import { broadcast, COLUMN, HEIGHT, madd, ROW } from './simd';

/** What a product does with what C holds. */
export const OVERWRITE: i32 = 0; // C = A·B
export const ADD: i32 = 1; // C = C + A·B
export const RESCALE: i32 = 2; // C = C·scale + A·B, one scale for each lane: the correction of the online softmax

/**
 * C[i][lane] = Σ_k a[k·6 + i]·b[k·8 + lane], i < 6, lane < 8. A row of B is two vectors, an element of A is broadcast,
 * and the 6 x 2 accumulators fill the registers of a 128-bit machine: 12, two for B, one for A. Each element is one
 * chain of multiply-adds over k in ascending order, whatever the block it falls into. The chain begins at zero and is
 * added to C as a whole: many small terms do not drown one by one in a large C.
 */
function multiplyPanel(a: usize, b: usize, depth: i32, c: usize, into: i32, scale: usize): void {
  let s00 = broadcast(0);
  let s01 = broadcast(0);
  let s10 = broadcast(0);
  let s11 = broadcast(0);
  let s20 = broadcast(0);
  let s21 = broadcast(0);
  let s30 = broadcast(0);
  let s31 = broadcast(0);
  let s40 = broadcast(0);
  let s41 = broadcast(0);
  let s50 = broadcast(0);
  let s51 = broadcast(0);
  for (let k = 0; k < depth; k++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load32_splat(a);
    s00 = madd(x0, b0, s00);
    s01 = madd(x0, b1, s01);
    const x1 = v128.load32_splat(a, 4);
    s10 = madd(x1, b0, s10);
    s11 = madd(x1, b1, s11);
    const x2 = v128.load32_splat(a, 8);
    s20 = madd(x2, b0, s20);
    s21 = madd(x2, b1, s21);
    const x3 = v128.load32_splat(a, 12);
    s30 = madd(x3, b0, s30);
    s31 = madd(x3, b1, s31);
    const x4 = v128.load32_splat(a, 16);
    s40 = madd(x4, b0, s40);
    s41 = madd(x4, b1, s41);
    const x5 = v128.load32_splat(a, 20);
    s50 = madd(x5, b0, s50);
    s51 = madd(x5, b1, s51);
    a += COLUMN;
    b += ROW;
  }
  keep(c, 0, s00, into, scale);
  keep(c, 16, s01, into, scale);
  keep(c, 32, s10, into, scale);
  keep(c, 48, s11, into, scale);
  keep(c, 64, s20, into, scale);
  keep(c, 80, s21, into, scale);
  keep(c, 96, s30, into, scale);
  keep(c, 112, s31, into, scale);
  keep(c, 128, s40, into, scale);
  keep(c, 144, s41, into, scale);
  keep(c, 160, s50, into, scale);
  keep(c, 176, s51, into, scale);
}

// @ts-ignore: decorator
@inline
function keep(c: usize, at: usize, sum: v128, into: i32, scale: usize): void {
  const to = c + at;
  if (into == OVERWRITE) v128.store(to, sum);
  else if (into == ADD) v128.store(to, f32x4.add(v128.load(to), sum));
  else v128.store(to, madd(v128.load(to), v128.load(scale + (at & 16)), sum));
}

/**
 * The same for any number of rows, which C has room for rounded up to whole panels of A; these begin `stride` bytes
 * after each other.
 */
export function multiply(
  a: usize,
  stride: usize,
  rows: i32,
  b: usize,
  depth: i32,
  c: usize,
  into: i32,
  scale: usize,
): void {
  for (let row = 0; row < rows; row += HEIGHT) {
    multiplyPanel(a, b, depth, c, into, scale);
    a += stride;
    c += <usize>HEIGHT * ROW;
  }
}
