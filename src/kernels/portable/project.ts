import { roundAllToBfloat16 } from '../../domain/bfloat16.ts';
import type { AttentionCall, Linear, Tokens } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { headShape, preparedStrides, type Role } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { storeHeadRow } from '../reference/attend.ts';
import { concatTokens, prepareHeads as copyHeads } from '../reference/project.ts';
import { rotateRow } from '../rope.ts';
import { Scratch } from '../scratch.ts';
import { multiplyAddTransposed } from './matmul.ts';

/** Depth of a block of the sum over k, so that the block of W (64 columns x 256) stays in the cache. */
const BLOCK_DEPTH = 256;
/** Output columns made at a time. */
const BLOCK_COLUMNS = 64;

const tokenScratch = new Scratch();
const weightScratch = new Scratch();
const resultScratch = new Scratch();

/** y = x·W + b for the tokens [from, to) and the columns of one head, into rows of `headSize` float64 numbers. */
function projectBlock(
  { precision }: AttentionCall,
  linear: Linear,
  tokens: Tokens,
  batch: number,
  head: number,
  from: number,
  to: number,
): Float64Array {
  const { weight, inStride, outStride, inWidth, headSize, bias } = linear;
  const rows = to - from;
  const y = resultScratch.take(rows * headSize);
  y.fill(0, 0, rows * headSize);
  const x = tokenScratch.take(rows * BLOCK_DEPTH);
  const w = weightScratch.take(BLOCK_COLUMNS * BLOCK_DEPTH);
  for (let k0 = 0; k0 < inWidth; k0 += BLOCK_DEPTH) {
    const depth = Math.min(BLOCK_DEPTH, inWidth - k0);
    for (let i = 0; i < rows; i++) {
      const at = (batch * tokens.rows + from + i) * tokens.width + k0;
      for (let k = 0; k < depth; k++) x[i * depth + k] = tokens.data[at + k];
    }
    if (precision === 'bfloat16') roundAllToBfloat16(x, 0, rows * depth);
    for (let c0 = 0; c0 < headSize; c0 += BLOCK_COLUMNS) {
      const columns = Math.min(BLOCK_COLUMNS, headSize - c0);
      packColumns(weight, linear.headColumn[head] + c0, columns, k0, depth, inStride, outStride, w);
      if (precision === 'bfloat16') roundAllToBfloat16(w, 0, columns * depth);
      multiplyAddTransposed(x, rows, w, columns, depth, y.subarray(c0), headSize);
    }
  }
  if (bias !== null) {
    const biasAt = linear.biasColumn[head];
    for (let i = 0; i < rows; i++) {
      for (let c = 0; c < headSize; c++) y[i * headSize + c] += bias[biasAt + c];
    }
  }
  return y;
}

/** Wᵀ of a block: w[c·depth + k], read along the direction in which the weight is contiguous. */
function packColumns(
  weight: RealArray,
  column: number,
  columns: number,
  k0: number,
  depth: number,
  inStride: number,
  outStride: number,
  w: Float64Array,
): void {
  if (inStride === 1) {
    for (let c = 0; c < columns; c++) {
      const at = k0 + (column + c) * outStride;
      for (let k = 0; k < depth; k++) w[c * depth + k] = weight[at + k];
    }
    return;
  }
  for (let k = 0; k < depth; k++) {
    const at = (k0 + k) * inStride + column * outStride;
    for (let c = 0; c < columns; c++) w[c * depth + k] = weight[at + c * outStride];
  }
}

/** Q = X·W_Q + b_Q (likewise K, V), rotated where asked for, by blocks of tokens. */
export function prepareHeads(role: Role) {
  const copy = copyHeads(role);
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const source = job.call[role];
    if (source.kind === 'given') {
      copy(job, batch, head, from, to);
      return;
    }
    const { rope } = job.call;
    const { size } = headShape(job.call, role);
    const prepared = { data: job.memory[role] as RealArray, ...preparedStrides(job.call, role) };
    const y = projectBlock(job.call, source.linear, source.tokens, batch, head, from, to);
    for (let i = from; i < to; i++) {
      const at = (i - from) * size;
      if (rope !== null && role !== 'value') rotateRow(rope, role, batch, i, y, at);
      storeHeadRow(job, prepared, batch, head, i, y, at, size);
    }
  };
}

/** output = Concat(head_1 .. head_H)·W_O + b_O for the tokens [from, to). */
export function projectOutput(job: Job, batch: number, _head: number, from: number, to: number): void {
  const linear = job.call.outputProjection!;
  const output = { data: job.memory.output as RealArray, ...job.call.results.output.strides };
  const y = projectBlock(job.call, linear, concatTokens(job), batch, 0, from, to);
  for (let i = from; i < to; i++) {
    storeHeadRow(job, output, batch, 0, i, y, (i - from) * linear.headSize, linear.headSize);
  }
}
