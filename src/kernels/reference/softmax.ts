import type { AttentionCall } from '../../domain/call.ts';
import { rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { reportOverflow } from '../status.ts';

/** Maximum and denominator of one softmax row: weight_j = exp(logit_j - max) / sum. */
export interface RowStatistics {
  readonly max: number;
  readonly sum: number;
}

/** The statistics of a query that may see no key. */
export const EMPTY_ROW: RowStatistics = { max: Number.NEGATIVE_INFINITY, sum: 0 };

/**
 * Statistics of the logits of one row, -Infinity standing for forbidden keys, with the sink of the head as one more
 * term of the denominator (arXiv 2309.17453). The true maximum is subtracted, so that no exponential overflows.
 */
export function rowStatistics(logits: Float64Array, columns: number, sink: number | null): RowStatistics {
  let max = Number.NEGATIVE_INFINITY;
  for (let key = 0; key < columns; key++) if (logits[key] > max) max = logits[key];
  if (max === Number.NEGATIVE_INFINITY) return EMPTY_ROW;
  if (sink !== null && sink > max) max = sink;
  let sum = sink === null ? 0 : Math.exp(sink - max);
  for (let key = 0; key < columns; key++) sum += Math.exp(logits[key] - max);
  return { max, sum };
}

/** Replaces the logits of a row by their weights, exp(logit - max) / sum; zeros for an empty row. */
export function logitsToWeights(logits: Float64Array, columns: number, { max, sum }: RowStatistics): void {
  if (sum === 0) {
    logits.fill(0, 0, columns);
    return;
  }
  for (let key = 0; key < columns; key++) logits[key] = Math.exp(logits[key] - max) / sum;
}

export function sinkOf(call: AttentionCall, head: number): number | null {
  return call.score.sinks === null ? null : call.score.sinks[head];
}

/** Keeps the statistics of a row for the maps and gradients, and writes its log-sum-exp where asked for. */
export function storeRow(job: Job, batch: number, head: number, query: number, row: RowStatistics): void {
  const at = rowIndex(job.call, batch, head, query);
  const { row_max, row_sum, log_sum_exp } = job.memory;
  row_max[at] = row.max;
  row_sum[at] = row.sum;
  if (log_sum_exp === undefined) return;
  log_sum_exp[at] = row.max + Math.log(row.sum);
  if (log_sum_exp[at] === Number.POSITIVE_INFINITY) reportOverflow(job.status);
  if (log_sum_exp[at] === Number.NEGATIVE_INFINITY && row.sum > 0) reportOverflow(job.status);
}

export function storedRow(job: Job, batch: number, head: number, query: number): RowStatistics {
  const at = rowIndex(job.call, batch, head, query);
  return { max: job.memory.row_max[at], sum: job.memory.row_sum[at] };
}
