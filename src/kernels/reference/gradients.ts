import { type AttentionCall, type HeadView, mapColumns } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import {
  hasMasks,
  maskAllows,
  readersFrom,
  readersTo,
  visibleFrom,
  visibleTo,
} from '../../domain/visibility.ts';
import { headsOf, type KeyRun, keyRuns, kvHeadOf, rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { rotateRowBack } from '../rope.ts';
import { Scratch } from '../scratch.ts';
import { storeHeadRow } from './attend.ts';
import { addedBias, capped, dot, logitRow } from './scores.ts';
import { logitsToWeights, storedRow } from './softmax.ts';

/*
 * The vector-Jacobian product of attention (FlashAttention, arXiv 2205.14135, appendix B.2). With the weights
 * P = softmax(S), the scores T = scale·QKᵀ before the softcap and dO = grad_output:
 *
 *   dP_ij = dO_i·v_j      delta_i = Σ_j P_ij·dP_ij      dS_ij = P_ij·(dP_ij - delta_i)
 *   dT_ij = dS_ij·(1 - tanh²(T_ij / c))                 (the softcap's derivative; dS_ij without one)
 *   dq_i = scale·Σ_j dT_ij·k_j      dk_j = scale·Σ_i dT_ij·q_i      dv_j = Σ_i P_ij·dO_i
 *
 * Keys and values of a group sum over its query heads; rotated rows are rotated back by the transpose.
 */

const weightScratch = new Scratch();
const keySumScratch = new Scratch();
const valueSumScratch = new Scratch();

/** d capped(T) / dT at the scaled score T. */
function softcapSlope(score: number, softcap: number | null): number {
  if (softcap === null) return 1;
  const tanh = Math.tanh(score / softcap);
  return 1 - tanh * tanh;
}

/** Where a gradient is written: it lies as the rows that it belongs to were given. */
export function gradView(job: Job, name: 'grad_query' | 'grad_key' | 'grad_value'): HeadView {
  const source = job.call[name.slice('grad_'.length) as 'query' | 'key' | 'value'];
  if (source.kind !== 'given') throw new TypeError('Gradients are those of given queries, keys and values.');
  return { ...source.view, data: job.memory[name] as RealArray };
}

/** dq of the queries [from, to) of one head; keeps delta_i for the keys and values. */
export function gradQuery(job: Job, batch: number, head: number, from: number, to: number): void {
  const { call } = job;
  const { headSize, valueHeadSize } = call.sizes;
  const { scale, softcap } = call.score;
  const columns = mapColumns(call.sizes);
  const weights = weightScratch.take(columns);
  const sum = keySumScratch.take(headSize);
  const gradOutput = call.gradOutput!;
  const q = headsOf(job, 'query');
  const allKeys = keyRuns(job, 'key', batch, kvHeadOf(call, head));
  const allValues = keyRuns(job, 'value', batch, kvHeadOf(call, head));

  for (let query = from; query < to; query++) {
    const queryAt = batch * q.batchStride + head * q.headStride + query * q.rowStride;
    const keys = inRange(call, batch, query, allKeys);
    const values = inRange(call, batch, query, allValues);
    logitRow(job, batch, head, query, 'masked', weights);
    logitsToWeights(weights, columns, storedRow(job, batch, head, query));
    const gradAt =
      batch * gradOutput.batchStride + head * gradOutput.headStride + query * gradOutput.rowStride;

    const gradOfWeight = (run: KeyRun, key: number) =>
      dot(gradOutput.data, gradAt, run.data, run.base + (key - run.from) * run.stride, valueHeadSize);
    let delta = 0;
    for (const run of values) {
      for (let key = run.from; key < run.to; key++) {
        if (weights[key] !== 0) delta += weights[key] * gradOfWeight(run, key);
      }
    }
    job.memory.row_delta[rowIndex(call, batch, head, query)] = delta;

    sum.fill(0, 0, headSize);
    for (let r = 0; r < keys.length; r++) {
      const run = keys[r];
      for (let key = run.from; key < run.to; key++) {
        if (weights[key] === 0) continue;
        const at = run.base + (key - run.from) * run.stride;
        const gradLogit = weights[key] * (gradOfWeight(values[r], key) - delta);
        const scaled = softcap === null ? 0 : scale * dot(q.data, queryAt, run.data, at, headSize);
        const gradScore = scale * gradLogit * softcapSlope(scaled, softcap);
        for (let c = 0; c < headSize; c++) sum[c] += gradScore * run.data[at + c];
      }
    }
    if (call.rope !== null) rotateRowBack(call.rope, 'query', batch, query, sum, 0);
    storeHeadRow(job, gradView(job, 'grad_query'), batch, head, query, sum, 0, headSize);
  }
}

/** dk and dv of the new keys [from, to) of one key/value head. */
export function gradKeyValue(job: Job, batch: number, kvHead: number, from: number, to: number): void {
  const { call } = job;
  const { sizes, score } = call;
  const group = sizes.heads / sizes.kvHeads;
  const k = headsOf(job, 'key');
  const v = headsOf(job, 'value');
  const q = headsOf(job, 'query');
  const gradOutput = call.gradOutput!;
  const keySum = keySumScratch.take(sizes.headSize);
  const valueSum = valueSumScratch.take(sizes.valueHeadSize);

  for (let row = from; row < to; row++) {
    const key = sizes.past + row;
    const keyAt = batch * k.batchStride + kvHead * k.headStride + row * k.rowStride;
    const valueAt = batch * v.batchStride + kvHead * v.headStride + row * v.rowStride;
    keySum.fill(0, 0, sizes.headSize);
    valueSum.fill(0, 0, sizes.valueHeadSize);
    const firstReader = readersFrom(call.visibility, batch, key);
    const endReader = readersTo(call.visibility, batch, key, sizes.queries);

    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      for (let query = firstReader; query < endReader; query++) {
        if (!sees(call, batch, head, query, key)) continue;
        const queryAt = batch * q.batchStride + head * q.headStride + query * q.rowStride;
        const gradAt =
          batch * gradOutput.batchStride + head * gradOutput.headStride + query * gradOutput.rowStride;
        const scaled = score.scale * dot(q.data, queryAt, k.data, keyAt, sizes.headSize);
        const logit = capped(scaled, score.softcap) + addedBias(call, batch, head, query, key);
        const { max, sum } = storedRow(job, batch, head, query);
        const weight = Math.exp(logit - max) / sum;
        const gradOfWeight = dot(gradOutput.data, gradAt, v.data, valueAt, sizes.valueHeadSize);
        const delta = job.memory.row_delta[rowIndex(call, batch, head, query)];
        const gradScore = score.scale * weight * (gradOfWeight - delta) * softcapSlope(scaled, score.softcap);
        for (let c = 0; c < sizes.headSize; c++) keySum[c] += gradScore * q.data[queryAt + c];
        for (let c = 0; c < sizes.valueHeadSize; c++) valueSum[c] += weight * gradOutput.data[gradAt + c];
      }
    }
    if (call.rope !== null) rotateRowBack(call.rope, 'key', batch, row, keySum, 0);
    storeHeadRow(job, gradView(job, 'grad_key'), batch, kvHead, row, keySum, 0, sizes.headSize);
    storeHeadRow(job, gradView(job, 'grad_value'), batch, kvHead, row, valueSum, 0, sizes.valueHeadSize);
  }
}

/** The runs of keys or values without those out of the query's range; extra keys are in every range. */
function inRange(call: AttentionCall, batch: number, query: number, runs: readonly KeyRun[]): KeyRun[] {
  const visible = {
    from: visibleFrom(call.visibility, batch, query),
    to: visibleTo(call.visibility, batch, query),
  };
  return runs.map((run) => {
    if (run.from >= call.sizes.keys) return run;
    const from = Math.max(run.from, visible.from);
    return {
      ...run,
      base: run.base + (from - run.from) * run.stride,
      from,
      to: Math.min(run.to, visible.to),
    };
  });
}

function sees(call: AttentionCall, batch: number, head: number, query: number, key: number): boolean {
  const { visibility, sizes } = call;
  if (key < visibleFrom(visibility, batch, query) || key >= visibleTo(visibility, batch, query)) return false;
  return !hasMasks(visibility) || maskAllows(visibility, sizes.keys, batch, head, query, key);
}
