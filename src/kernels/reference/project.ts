import type { Linear, Tokens } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { headShape, isHeldToRange, preparedStrides, type Role } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { rotateRow } from '../rope.ts';
import { Scratch } from '../scratch.ts';
import { concatStrides, storeHeadRow } from './attend.ts';

const rowScratch = new Scratch();

/** y_c = b_c + Σ_k x_k·W_kc for the columns c of one head. */
export function projectRow(linear: Linear, x: RealArray, xAt: number, head: number, y: Float64Array): void {
  const { weight, inStride, outStride, inWidth, headSize, bias } = linear;
  for (let c = 0; c < headSize; c++) {
    const column = linear.headColumn[head] + c;
    let sum = 0;
    for (let k = 0; k < inWidth; k++) sum += x[xAt + k] * weight[k * inStride + column * outStride];
    y[c] = bias === null ? sum : sum + bias[linear.biasColumn[head] + c];
  }
}

/** Prepares rows of one head: Q = X·W_Q + b_Q (likewise K, V) or the given rows, then the rotary embedding. */
export function prepareHeads(role: Role) {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const { call } = job;
    const source = call[role];
    const { size } = headShape(call, role);
    const prepared = { data: job.memory[role] as RealArray, ...preparedStrides(call, role) };
    const isReported = source.kind === 'projected' || isHeldToRange(call, role);
    const row = rowScratch.take(size);
    for (let i = from; i < to; i++) {
      if (source.kind === 'projected') {
        const { tokens, linear } = source;
        projectRow(linear, tokens.data, (batch * tokens.rows + i) * tokens.width, head, row);
      } else {
        const { view } = source;
        const at = batch * view.batchStride + head * view.headStride + i * view.rowStride;
        for (let c = 0; c < size; c++) row[c] = view.data[at + c];
      }
      if (call.rope !== null && role !== 'value') rotateRow(call.rope, role, batch, i, row, 0);
      storeHeadRow(job, prepared, batch, head, i, row, 0, size, isReported);
    }
  };
}

/** output = Concat(head_1 .. head_H)·W_O + b_O for the tokens [from, to). */
export function projectOutput(job: Job, batch: number, _head: number, from: number, to: number): void {
  const linear = job.call.outputProjection!;
  const tokens = concatTokens(job);
  const output = { data: job.memory.output as RealArray, ...job.call.results.output.strides };
  const row = rowScratch.take(linear.headSize);
  for (let i = from; i < to; i++) {
    projectRow(linear, tokens.data, (batch * tokens.rows + i) * tokens.width, 0, row);
    storeHeadRow(job, output, batch, 0, i, row, 0, linear.headSize);
  }
}

/** The concatenated heads as token vectors, [B, L, H·d_v]. */
export function concatTokens(job: Job): Tokens {
  return {
    data: job.memory.concat as RealArray,
    rows: job.call.sizes.queries,
    width: concatStrides(job.call).rowStride,
  };
}
