import type { LOGIT_STAGES } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { reportOverflow } from '../status.ts';
import { LANES } from './geometry.ts';
import { chunkKeys } from './keys.ts';
import type { Machine } from './machine.ts';
import {
  beginTile,
  FACTOR,
  forEachChunk,
  forEachPanel,
  loadChunk,
  loadQueries,
  type QueryTile,
  TOP,
} from './queries.ts';

/** How far the module takes a logit: no further, past the softcap, past bias and masks. */
const STEPS = { raw: 0, scaled: 0, capped: 1, masked: 2 } as const satisfies Record<
  (typeof LOGIT_STAGES)[number],
  number
>;
/** What the module does with the weights of a head: write them, add them up, keep the largest. */
const REDUCTIONS = { none: 0, mean: 1, max: 2 } as const;

/** Logits of the queries [from, to) of one head at the stage asked for, [B, H, L, T]. */
export function writeLogits(machineOf: () => Machine) {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const machine = machineOf();
    const { sizes, score, returns } = job.call;
    const stage = returns.logits!;
    const all = sizes.keys + sizes.extras;
    const tile = beginTile(machine, job, batch, to - from, (row) => from + row);
    const rows = machine.take(LANES * chunkKeys(job.call) * 4);
    let lost = false;
    loadQueries(tile, () => head, stage === 'raw' ? 1 : score.scale);
    forEachChunk(job.call, (first) => {
      const keys = loadChunk(tile, () => head, first);
      forEachPanel(tile, (panel, row, lanes) => {
        if (machine.code.logitRows(panel, row, lanes, STEPS[stage], tile.scores, rows)) lost = true;
        const target = rowIndex(job.call, batch, head, from + row) * all + first;
        machine.copyOut(rows, lanes, keys, job.memory.logits as RealArray, target, all);
      });
    });
    if (lost) reportOverflow(job.status);
  };
}

/**
 * Weights of the selected queries [from, to) (places in the selection) of one selected head, or reduced over them:
 * exp(logit - maximum) / sum, with the statistics of the output.
 */
export function writeWeights(machineOf: () => Machine) {
  return (job: Job, batch: number, slot: number, from: number, to: number): void => {
    const machine = machineOf();
    const { sizes, score, returns } = job.call;
    const { heads, queries, reduce, topK } = returns.weights!;
    const all = sizes.keys + sizes.extras;
    const chunk = chunkKeys(job.call);
    const slots = reduce === null ? heads.length : 1;
    const firstRow = (batch * slots + slot) * queries.length + from;
    const tile = beginTile(machine, job, batch, to - from, (row) => queries[from + row]);
    const weights = machine.take(Math.ceil(tile.rows / LANES) * chunk * LANES * 4);
    const rows = machine.take(LANES * chunk * 4);

    forEachChunk(job.call, (first) => {
      const addHead = (head: number, share: number, reduction: number) => {
        const headOf = () => head;
        loadQueries(tile, headOf, score.scale);
        loadChunk(tile, headOf, first);
        forEachPanel(tile, (panel, row, lanes) => {
          loadStatistics(tile, panel, head, row, lanes, share);
          machine.code.weigh(panel, row, lanes, reduction, tile.scores, weights + row * chunk * 4);
        });
      };
      if (reduce === null) addHead(heads[slot], 1, REDUCTIONS.none);
      else {
        const share = reduce === 'mean' ? heads.length : 1;
        for (let h = 0; h < heads.length; h++) {
          addHead(heads[h], share, h === 0 ? REDUCTIONS.none : REDUCTIONS[reduce]);
        }
      }
      const keys = Math.min(chunk, all - first);
      forEachPanel(tile, (_panel, row, lanes) => {
        machine.code.weightRows(weights + row * chunk * 4, lanes, rows);
        if (topK === null) {
          const target = (firstRow + row) * all + first;
          machine.copyOut(rows, lanes, keys, job.memory.weights as RealArray, target, all);
          return;
        }
        for (let lane = 0; lane < lanes; lane++) {
          keepStrongest(
            machine.floats,
            rows / 4 + lane * keys,
            first,
            keys,
            job,
            firstRow + row + lane,
            topK,
          );
        }
      });
    });
  };
}

/** Writes the maximum of each lane and the factor that makes its exponentials weights; 0 for a row without keys. */
function loadStatistics(
  { machine, job, batch, queryOf }: QueryTile,
  panel: number,
  head: number,
  row: number,
  lanes: number,
  share: number,
): void {
  for (let lane = 0; lane < LANES; lane++) {
    const query = queryOf(row + Math.min(lane, lanes - 1));
    const at = rowIndex(job.call, batch, head, query);
    const sum = job.memory.row_sum[at];
    machine.floats[panel / 4 + TOP + lane] = sum === 0 ? 0 : job.memory.row_max[at];
    machine.floats[panel / 4 + FACTOR + lane] = sum === 0 ? 0 : 1 / (sum * share);
  }
}

/**
 * Takes the weights of the keys [first, first + keys) of one row into the k largest of those before, largest first, ties
 * by lower index.
 */
function keepStrongest(
  weights: Float32Array,
  at: number,
  first: number,
  keys: number,
  job: Job,
  row: number,
  k: number,
): void {
  const indices = job.memory['weights.indices'];
  const values = job.memory['weights.values'];
  const base = row * k;
  let kept = Math.min(k, first);
  for (let j = 0; j < keys; j++) {
    const weight = weights[at + j];
    if (kept === k && !(weight > values[base + k - 1])) continue;
    let slot = kept < k ? kept++ : k - 1;
    for (; slot > 0 && weight > values[base + slot - 1]; slot--) {
      indices[base + slot] = indices[base + slot - 1];
      values[base + slot] = values[base + slot - 1];
    }
    indices[base + slot] = first + j;
    values[base + slot] = weight;
  }
}
