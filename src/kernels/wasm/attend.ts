import type { AttentionCall } from '../../domain/call.ts';
import { rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { headOutput } from '../reference/attend.ts';
import { sinkOf } from '../reference/softmax.ts';
import { reportEmptyRow, reportOverflow } from '../status.ts';
import { chunkKeys } from './keys.ts';
import type { Machine } from './machine.ts';
import {
  beginTile,
  FACTOR,
  forEachChunk,
  forEachPanel,
  loadChunk,
  loadQueries,
  SUM,
  TOP,
} from './queries.ts';

/** Queries of a tile; more where the keys of a head do not fit in memory and each tile copies all of them. */
const TILE_QUERIES = 64;
const STREAMING_QUERIES = 256;

export function attentionRows(call: AttentionCall): number {
  return call.sizes.keys + call.sizes.extras <= chunkKeys(call) ? TILE_QUERIES : STREAMING_QUERIES;
}

/** Attention of one head for the queries [from, to). */
export function attend(machineOf: () => Machine) {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const machine = machineOf();
    const { code } = machine;
    const { score, sizes } = job.call as AttentionCall;
    const size = sizes.valueHeadSize;
    const tile = beginTile(machine, job, batch, to - from, (row) => from + row);
    const output = headOutput(job);
    const rows = machine.take(8 * size * 4);
    let overflow = false;

    loadQueries(tile, head, score.scale);
    forEachPanel(tile, (panel) => code.beginPanel(panel));
    forEachChunk(job.call, (first) => {
      loadChunk(tile, head, first);
      if (code.attend(tile.panels, tile.panelBytes, tile.rows, tile.scores)) overflow = true;
    });
    forEachPanel(tile, (panel, row, lanes) => {
      finishRows(machine, job, batch, head, from + row, lanes, panel);
      if (!code.finishPanel(panel, lanes, rows)) overflow = true;
      const { batchStride, headStride, rowStride } = output;
      const target = batch * batchStride + head * headStride + (from + row) * rowStride;
      machine.copyOut(rows, lanes, size, output.data, target, rowStride);
    });
    if (overflow) reportOverflow(job.status);
  };
}

/** Takes the sink into the denominators, stores the statistics and leaves the factor of each row in the panel. */
function finishRows(
  machine: Machine,
  job: Job,
  batch: number,
  head: number,
  first: number,
  lanes: number,
  panel: number,
): void {
  const { floats } = machine;
  const { memory, status } = job;
  const sink = sinkOf(job.call, head);
  const at = panel / 4;
  for (let lane = 0; lane < 8; lane++) {
    floats[at + FACTOR + lane] = 0;
    if (lane >= lanes) continue;
    const row = rowIndex(job.call, batch, head, first + lane);
    let max = floats[at + TOP + lane];
    let sum = floats[at + SUM + lane];
    if (max === Number.NEGATIVE_INFINITY && sum === 0) {
      reportEmptyRow(status, row);
    } else {
      let shrink = 1;
      if (sink !== null) {
        const raised = Math.max(max, sink);
        shrink = Math.exp(max - raised);
        sum = sum * shrink + Math.exp(sink - raised);
        max = raised;
      }
      floats[at + FACTOR + lane] = shrink / sum;
    }
    memory.row_max[row] = max;
    memory.row_sum[row] = sum;
    if (job.call.returns.logSumExp) {
      const logSumExp = Math.fround(max + Math.log(sum));
      memory.log_sum_exp[row] = logSumExp;
      if (sum !== 0 && !Number.isFinite(logSumExp)) reportOverflow(status);
    }
  }
}
