import type { AttentionCall } from '../../domain/call.ts';
import { rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { headOutput } from '../reference/attend.ts';
import { sinkOf } from '../reference/softmax.ts';
import { reportEmptyRow, reportOverflow } from '../status.ts';
import { LANES } from './geometry.ts';
import { chunkKeys } from './keys.ts';
import type { Machine } from './machine.ts';
import {
  beginTile,
  FACTOR,
  forEachChunk,
  forEachPanel,
  forEachRun,
  loadChunk,
  loadQueries,
  SUM,
  TOP,
} from './queries.ts';

/** Rows of a tile; more where the keys of a head do not fit in memory and each tile copies all of them. */
const TILE_ROWS = 64;
const STREAMING_ROWS = 256;

export function attentionRows(call: AttentionCall): number {
  return call.sizes.keys + call.sizes.extras <= chunkKeys(call) ? TILE_ROWS : STREAMING_ROWS;
}

/**
 * Attention of the rows [from, to) of one key/value head: the queries of the first head that reads it, then those of the
 * next. So a few queries, as in decoding, still fill a panel where heads are grouped.
 */
export function attend(machineOf: () => Machine) {
  return (job: Job, batch: number, kvHead: number, from: number, to: number): void => {
    const machine = machineOf();
    const { code } = machine;
    const { score, sizes } = job.call;
    const { queries, heads, kvHeads, valueHeadSize: size } = sizes;
    const firstHead = (kvHead * heads) / kvHeads;
    const headOf = (row: number) => firstHead + Math.floor((from + row) / queries);
    const queryOf = (row: number) => (from + row) % queries;
    const tile = beginTile(machine, job, batch, to - from, queryOf);
    const { data, batchStride, headStride, rowStride } = headOutput(job);
    const rows = machine.take(LANES * size * 4);
    let overflow = false;

    loadQueries(tile, headOf, score.scale);
    forEachPanel(tile, (panel) => code.beginPanel(panel));
    forEachChunk(job.call, (first) => {
      loadChunk(tile, headOf, first);
      if (code.attend(tile.panels, tile.panelBytes, tile.rows, tile.scores)) overflow = true;
    });
    forEachPanel(tile, (panel, row, lanes) => {
      machine.floats.fill(0, panel / 4 + FACTOR, panel / 4 + FACTOR + LANES);
      for (let lane = 0; lane < lanes; lane++) {
        finishRow(machine, job, batch, headOf(row + lane), queryOf(row + lane), panel / 4 + lane);
      }
      if (!code.finishPanel(panel, lanes, rows)) overflow = true;
      forEachRun(tile, headOf, row, lanes, (head, query, lane, count) => {
        const target = batch * batchStride + head * headStride + query * rowStride;
        machine.copyOut(rows + lane * size * 4, count, size, data, target, rowStride);
      });
    });
    if (overflow) reportOverflow(job.status);
  };
}

/** Takes the sink into the denominator, stores the statistics and leaves the factor of the row in its lane. */
function finishRow(
  { floats }: Machine,
  job: Job,
  batch: number,
  head: number,
  query: number,
  lane: number,
): void {
  const { call, memory, status } = job;
  const sink = sinkOf(call, head);
  const row = rowIndex(call, batch, head, query);
  let max = floats[lane + TOP];
  let sum = floats[lane + SUM];
  if (max === Number.NEGATIVE_INFINITY && sum === 0) {
    reportEmptyRow(job, row);
  } else {
    let shrink = 1;
    if (sink !== null) {
      const raised = Math.max(max, sink);
      shrink = Math.exp(max - raised);
      sum = sum * shrink + Math.exp(sink - raised);
      max = raised;
    }
    floats[lane + FACTOR] = shrink / sum;
  }
  memory.row_max[row] = max;
  memory.row_sum[row] = sum;
  if (call.returns.logSumExp) {
    const logSumExp = Math.fround(max + Math.log(sum));
    memory.log_sum_exp[row] = logSumExp;
    if (sum !== 0 && !Number.isFinite(logSumExp)) reportOverflow(status);
  }
}
