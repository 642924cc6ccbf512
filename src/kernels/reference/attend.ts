import { type AttentionCall, type HeadView, mapColumns } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { keyRuns, kvHeadOf, rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { Scratch } from '../scratch.ts';
import { reportEmptyRow, reportOverflow } from '../status.ts';
import { addWeightedValues, logitRow } from './scores.ts';
import { logitsToWeights, rowStatistics, sinkOf, storeRow } from './softmax.ts';

const logitScratch = new Scratch();
const sumScratch = new Scratch();

/**
 * Attention of one head: output_i = Σ_j softmax_j(logit_ij)·v_j for the queries [from, to)
 * (arXiv 1706.03762, equation 1). Naive on purpose, one query at a time: this is what every faster kernel is held to.
 */
export function attend(job: Job, batch: number, head: number, from: number, to: number): void {
  const { call } = job;
  const columns = mapColumns(call.sizes);
  const size = call.sizes.valueHeadSize;
  const values = keyRuns(job, 'value', batch, kvHeadOf(call, head));
  const logits = logitScratch.take(columns);
  const sum = sumScratch.take(size);

  for (let query = from; query < to; query++) {
    // pass 1: the logits of all keys, -Infinity where forbidden
    logitRow(job, batch, head, query, 'masked', logits);
    // pass 2: the maximum and the denominator
    const row = rowStatistics(logits, columns, sinkOf(call, head));
    if (row.sum === 0) reportEmptyRow(job, rowIndex(call, batch, head, query));
    storeRow(job, batch, head, query, row);
    // pass 3: the weights
    logitsToWeights(logits, columns, row);
    // pass 4: the weighted sum of the values
    sum.fill(0, 0, size);
    addWeightedValues(values, logits, size, sum);
    storeHeadRow(job, headOutput(job), batch, head, query, sum, 0, size);
  }
}

/** Where the heads' outputs go: into the concatenated heads when W_O follows, else into the output itself. */
export function headOutput(job: Job): HeadView {
  const { call, memory } = job;
  if (call.outputProjection === null)
    return { data: memory.output as RealArray, ...call.results.output.strides };
  return { data: memory.concat as RealArray, ...concatStrides(call) };
}

/** Concat(head_1 .. head_H): [B, L, H·d_v]. */
export function concatStrides({ sizes }: AttentionCall) {
  const width = sizes.heads * sizes.valueHeadSize;
  return { batchStride: sizes.queries * width, headStride: sizes.valueHeadSize, rowStride: width };
}

/** Rounds one row into its place; a value that is not finite there is an overflow, and reported unless it is not to be. */
export function storeHeadRow(
  job: Job,
  to: HeadView,
  batch: number,
  head: number,
  row: number,
  values: Float64Array,
  valuesAt: number,
  size: number,
  isReported = true,
): void {
  const at = batch * to.batchStride + head * to.headStride + row * to.rowStride;
  const fits = roundRow(values, valuesAt, size, to.data, at);
  if (!fits && isReported) reportOverflow(job.status);
}

/** Rounds `size` numbers of one row into another's elements from `at` on. Returns whether all are finite there. */
export function roundRow(
  values: Float64Array,
  valuesAt: number,
  size: number,
  to: RealArray,
  at: number,
): boolean {
  // x·0 is 0 for every finite x and NaN for every other.
  let probe = 0;
  for (let c = 0; c < size; c++) {
    to[at + c] = values[valuesAt + c];
    probe += to[at + c] * 0;
  }
  return probe === 0;
}
