import { roundAllToBfloat16 } from '../../domain/bfloat16.ts';
import { hasMasks, maskAllows, visibleFrom, visibleTo } from '../../domain/visibility.ts';
import { headsOf, type KeyRun, keyRuns, kvHeadOf, rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { headOutput, storeHeadRow } from '../reference/attend.ts';
import { addedBias, capped } from '../reference/scores.ts';
import { EMPTY_ROW, sinkOf, storeRow } from '../reference/softmax.ts';
import { Scratch } from '../scratch.ts';
import { reportEmptyRow, reportOverflow } from '../status.ts';
import { multiplyAddTransposed } from './matmul.ts';

/** Keys taken at a time. Blocks begin at multiples of it, whatever range a query sees. */
const BLOCK_KEYS = 64;
const FORBIDDEN = Number.NEGATIVE_INFINITY;

const queryScratch = new Scratch();
const keyScratch = new Scratch();
const valueScratch = new Scratch();
const logitScratch = new Scratch();
const outputScratch = new Scratch();
const maxScratch = new Scratch();
const sumScratch = new Scratch();

/**
 * Attention of one head for the queries [from, to) by blocks of keys with the online softmax (FlashAttention,
 * arXiv 2205.14135, algorithm 1): a running maximum, denominator and weighted sum for each query, rescaled when the
 * maximum grows. No row of logits is ever held whole; blocks that no query of the tile may see are not touched, and a
 * query's result depends only on the blocks in which it sees a key.
 */
export function attend(job: Job, batch: number, head: number, from: number, to: number): void {
  const { call } = job;
  const { sizes, visibility } = call;
  const { headSize, valueHeadSize } = sizes;
  const rounds = call.precision === 'bfloat16';
  const rows = to - from;
  const kvHead = kvHeadOf(call, head);
  const keys = keyRuns(job, 'key', batch, kvHead);
  const values = keyRuns(job, 'value', batch, kvHead);
  const columns = sizes.keys + sizes.extras;

  const q = queryScratch.take(rows * headSize);
  const k = keyScratch.take(BLOCK_KEYS * headSize);
  const v = valueScratch.take(BLOCK_KEYS * valueHeadSize);
  const logits = logitScratch.take(rows * BLOCK_KEYS);
  const output = outputScratch.take(rows * valueHeadSize);
  const max = maxScratch.take(rows);
  const sum = sumScratch.take(rows);

  loadQueries(job, batch, head, from, to, q);
  if (rounds) roundAllToBfloat16(q, 0, rows * headSize);
  output.fill(0, 0, rows * valueHeadSize);
  max.fill(FORBIDDEN, 0, rows);
  sum.fill(0, 0, rows);

  let firstKey = sizes.keys;
  let lastKey = 0;
  for (let query = from; query < to; query++) {
    firstKey = Math.min(firstKey, visibleFrom(visibility, batch, query));
    lastKey = Math.max(lastKey, visibleTo(visibility, batch, query));
  }
  for (let block = 0; block < columns; block += BLOCK_KEYS) {
    const end = Math.min(block + BLOCK_KEYS, columns);
    const holdsExtras = end > sizes.keys;
    if (!holdsExtras && (end <= firstKey || block >= lastKey)) continue;

    logits.fill(0, 0, rows * BLOCK_KEYS);
    loadRows(keys, block, end, headSize, k);
    if (rounds) roundAllToBfloat16(k, 0, (end - block) * headSize);
    multiplyAddTransposed(q, rows, k, end - block, headSize, logits, BLOCK_KEYS);
    finishLogits(job, batch, head, from, to, block, end, logits);
    let valuesFinite = loadRows(values, block, end, valueHeadSize, v);
    if (rounds) valuesFinite = roundAllToBfloat16(v, 0, (end - block) * valueHeadSize);
    for (let row = 0; row < rows; row++) {
      addBlock(row, logits, end - block, v, valueHeadSize, valuesFinite, rounds, max, sum, output);
    }
  }

  const sink = sinkOf(call, head);
  const target = headOutput(job);
  for (let row = 0; row < rows; row++) {
    const query = from + row;
    if (max[row] === FORBIDDEN) {
      reportEmptyRow(job, rowIndex(call, batch, head, query));
      storeRow(job, batch, head, query, EMPTY_ROW);
    } else {
      const statistics = withSink(max[row], sum[row], sink);
      storeRow(job, batch, head, query, statistics);
      // The weighted sum stands at exp(logit - max); the sink may have raised the maximum.
      const factor = Math.exp(max[row] - statistics.max) / statistics.sum;
      for (let c = 0; c < valueHeadSize; c++) output[row * valueHeadSize + c] *= factor;
    }
    storeHeadRow(job, target, batch, head, query, output, row * valueHeadSize, valueHeadSize);
  }
}

function withSink(max: number, sum: number, sink: number | null) {
  if (sink === null) return { max, sum };
  if (sink <= max) return { max, sum: sum + Math.exp(sink - max) };
  return { max: sink, sum: sum * Math.exp(max - sink) + 1 };
}

function loadQueries(job: Job, batch: number, head: number, from: number, to: number, q: Float64Array): void {
  const view = headsOf(job, 'query');
  const size = job.call.sizes.headSize;
  for (let query = from; query < to; query++) {
    const at = batch * view.batchStride + head * view.headStride + query * view.rowStride;
    for (let c = 0; c < size; c++) q[(query - from) * size + c] = view.data[at + c];
  }
}

/** Copies rows [block, end) of the runs side by side. Returns whether every number is finite. */
function loadRows(
  runs: readonly KeyRun[],
  block: number,
  end: number,
  size: number,
  to: Float64Array,
): boolean {
  // x·0 is 0 for every finite x and NaN for every other.
  let probe = 0;
  for (const run of runs) {
    const last = Math.min(end, run.to);
    for (let key = Math.max(block, run.from); key < last; key++) {
      const source = run.base + (key - run.from) * run.stride;
      const target = (key - block) * size;
      for (let c = 0; c < size; c++) {
        const x = run.data[source + c];
        to[target + c] = x;
        probe += x * 0;
      }
    }
  }
  return probe === 0;
}

/** From dot products to logits: scale, softcap, bias and ALiBi; -Infinity where the query may not see the key. */
function finishLogits(
  job: Job,
  batch: number,
  head: number,
  from: number,
  to: number,
  block: number,
  end: number,
  logits: Float64Array,
): void {
  const { call } = job;
  const { score, sizes, visibility } = call;
  const looksAtMasks = hasMasks(visibility);
  const isBiased = score.bias !== null || score.alibiSlopes !== null;
  let probe = 0;
  for (let query = from; query < to; query++) {
    const first = visibleFrom(visibility, batch, query);
    const last = visibleTo(visibility, batch, query);
    for (let key = block; key < end; key++) {
      const at = (query - from) * BLOCK_KEYS + key - block;
      const isExtra = key >= sizes.keys;
      if (!isExtra) {
        const visible =
          key >= first &&
          key < last &&
          (!looksAtMasks || maskAllows(visibility, sizes.keys, batch, head, query, key));
        if (!visible) {
          logits[at] = FORBIDDEN;
          continue;
        }
      }
      let logit = capped(logits[at] * score.scale, score.softcap);
      if (isBiased && !isExtra) logit += addedBias(call, batch, head, query, key);
      probe += logit * 0;
      logits[at] = logit;
    }
  }
  if (probe !== 0) reportOverflow(job.status);
}

/** Takes the keys of one block into one query's running softmax and weighted sum. */
function addBlock(
  row: number,
  logits: Float64Array,
  keys: number,
  v: Float64Array,
  size: number,
  valuesFinite: boolean,
  rounds: boolean,
  max: Float64Array,
  sum: Float64Array,
  output: Float64Array,
): void {
  const at = row * BLOCK_KEYS;
  let blockMax = FORBIDDEN;
  for (let key = 0; key < keys; key++) if (logits[at + key] > blockMax) blockMax = logits[at + key];
  if (blockMax === FORBIDDEN) return;

  const outputAt = row * size;
  if (blockMax > max[row]) {
    const correction = Math.exp(max[row] - blockMax);
    max[row] = blockMax;
    sum[row] *= correction;
    for (let c = 0; c < size; c++) output[outputAt + c] *= correction;
  }
  let blockSum = 0;
  for (let key = 0; key < keys; key++) {
    const weight = Math.exp(logits[at + key] - max[row]);
    logits[at + key] = weight;
    blockSum += weight;
  }
  sum[row] += blockSum;
  if (rounds) roundAllToBfloat16(logits, at, at + keys);

  if (valuesFinite) addValues(logits, at, keys, v, size, output, outputAt);
  else addVisibleValues(logits, at, keys, v, size, output, outputAt);
}

/** output += Σ_j weight_j·v_j, four columns of the head at a time. */
function addValues(
  weights: Float64Array,
  at: number,
  keys: number,
  v: Float64Array,
  size: number,
  output: Float64Array,
  outputAt: number,
): void {
  let c = 0;
  for (; c + 4 <= size; c += 4) {
    let s0 = output[outputAt + c];
    let s1 = output[outputAt + c + 1];
    let s2 = output[outputAt + c + 2];
    let s3 = output[outputAt + c + 3];
    for (let key = 0, valueAt = c; key < keys; key++, valueAt += size) {
      const weight = weights[at + key];
      s0 += weight * v[valueAt];
      s1 += weight * v[valueAt + 1];
      s2 += weight * v[valueAt + 2];
      s3 += weight * v[valueAt + 3];
    }
    output[outputAt + c] = s0;
    output[outputAt + c + 1] = s1;
    output[outputAt + c + 2] = s2;
    output[outputAt + c + 3] = s3;
  }
  for (; c < size; c++) {
    let s = output[outputAt + c];
    for (let key = 0; key < keys; key++) s += weights[at + key] * v[key * size + c];
    output[outputAt + c] = s;
  }
}

/** The same sums, stepping over keys of weight 0: a forbidden key may hold NaN, and 0·NaN is not 0. */
function addVisibleValues(
  weights: Float64Array,
  at: number,
  keys: number,
  v: Float64Array,
  size: number,
  output: Float64Array,
  outputAt: number,
): void {
  for (let key = 0; key < keys; key++) {
    const weight = weights[at + key];
    if (weight === 0) continue;
    for (let c = 0; c < size; c++) output[outputAt + c] += weight * v[key * size + c];
  }
}
