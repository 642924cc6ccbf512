import { type AttentionCall, type HeadView, LOGIT_STAGES, type LogitStage } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { hasMasks, maskAllows, visibleFrom, visibleTo } from '../../domain/visibility.ts';
import { headsOf, type KeyRun, keyRuns, kvHeadOf } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { reportOverflow } from '../status.ts';

/** What is multiplied for the logits of one head of one sample. */
export interface Operands {
  readonly query: HeadView;
  readonly keys: readonly KeyRun[];
}

/** Queries and keys as they are. */
export function headsAsOperands(job: Job, batch: number, head: number): Operands {
  return { query: headsOf(job, 'query'), keys: keyRuns(job, 'key', batch, kvHeadOf(job.call, head)) };
}

/** a·b over n elements, summed in float64. */
export function dot(a: RealArray, aAt: number, b: RealArray, bAt: number, n: number): number {
  let sum = 0;
  for (let c = 0; c < n; c++) sum += a[aAt + c] * b[bAt + c];
  return sum;
}

/** c·tanh(s/c), the softcap of Gemma 2 (arXiv 2408.00118); s where there is none. */
export function capped(score: number, softcap: number | null): number {
  return softcap === null ? score : softcap * Math.tanh(score / softcap);
}

/** What is added to the logit of key j: bias(i, j) - slope·|i + offset - j| (ALiBi, arXiv 2108.12409). */
export function addedBias(
  call: AttentionCall,
  batch: number,
  head: number,
  query: number,
  key: number,
): number {
  const { bias, alibiSlopes } = call.score;
  let sum = 0;
  if (bias !== null) {
    sum += bias.data[batch * bias.batchStride + head * bias.headStride + query * bias.queryStride + key];
  }
  if (alibiSlopes !== null) {
    sum -= alibiSlopes[head] * Math.abs(query + call.visibility.offsets[batch] - key);
  }
  return sum;
}

/**
 * The logits of one query against all keys, extra keys included, at a stage of the way:
 * raw q·k; scaled by the scale; capped by the softcap; masked: with bias and ALiBi, -Infinity where forbidden.
 * A logit that is not finite although it is allowed is reported as an overflow.
 */
export function logitRow(
  job: Job,
  batch: number,
  head: number,
  query: number,
  stage: LogitStage,
  logits: Float64Array,
  { query: q, keys }: Operands = headsAsOperands(job, batch, head),
): void {
  const { call } = job;
  const { sizes, score, visibility } = call;
  const reached = LOGIT_STAGES.indexOf(stage);
  const masked = stage === 'masked';
  const queryAt = batch * q.batchStride + head * q.headStride + query * q.rowStride;
  const size = sizes.headSize;

  const from = masked ? visibleFrom(visibility, batch, query) : 0;
  const to = masked ? visibleTo(visibility, batch, query) : sizes.keys;
  const looksAtMasks = masked && hasMasks(visibility);
  if (masked) logits.fill(Number.NEGATIVE_INFINITY, 0, sizes.keys);

  let finite = true;
  for (const run of keys) {
    const isExtra = run.from >= sizes.keys;
    const first = isExtra ? run.from : Math.max(run.from, from);
    const last = isExtra ? run.to : Math.min(run.to, to);
    for (let key = first; key < last; key++) {
      if (!isExtra && looksAtMasks && !maskAllows(visibility, sizes.keys, batch, head, query, key)) continue;
      const keyAt = run.base + (key - run.from) * run.stride;
      let logit = dot(q.data, queryAt, run.data, keyAt, size);
      if (reached >= 1) logit *= score.scale;
      if (reached >= 2) logit = capped(logit, score.softcap);
      if (reached >= 3 && !isExtra) logit += addedBias(call, batch, head, query, key);
      if (!Number.isFinite(logit)) finite = false;
      logits[key] = logit;
    }
  }
  if (!finite) reportOverflow(job.status);
}

/** Σ_j weight_j·v_j, added to `sum`; keys of weight 0 are not touched, whatever they hold. */
export function addWeightedValues(
  runs: readonly KeyRun[],
  weights: Float64Array,
  size: number,
  sum: Float64Array,
): void {
  for (const run of runs) {
    for (let key = run.from; key < run.to; key++) {
      const weight = weights[key];
      if (weight === 0) continue;
      const at = run.base + (key - run.from) * run.stride;
      for (let c = 0; c < size; c++) sum[c] += weight * run.data[at + c];
    }
  }
}
