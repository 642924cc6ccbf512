import { mapColumns } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { rowIndex } from '../heads.ts';
import type { Job } from '../kernel.ts';
import type { Part } from '../program.ts';
import { Scratch } from '../scratch.ts';
import { reportOverflow } from '../status.ts';
import { headsAsOperands, logitRow, type Operands } from './scores.ts';
import { logitsToWeights, storedRow } from './softmax.ts';

const rowScratch = new Scratch();
const reducedScratch = new Scratch();

/** Finds what is multiplied for the logits of a head. */
export type OperandsOf = (job: Job, batch: number, head: number) => Operands;

/** The parts that write logits and weights, which multiply the heads themselves where nothing else is said. */
export function mapWriters(
  operandsOf: OperandsOf = headsAsOperands,
): Record<'logits' | 'weights', Part['run']> {
  return {
    logits: (job, batch, head, from, to) =>
      writeLogits(job, batch, head, from, to, operandsOf(job, batch, head)),
    weights: (job, batch, slot, from, to) => writeWeights(job, batch, slot, from, to, operandsOf),
  };
}

/** Logits of the queries [from, to) of one head at the stage asked for, [B, H, L, S + E]. */
function writeLogits(
  job: Job,
  batch: number,
  head: number,
  from: number,
  to: number,
  operands: Operands,
): void {
  const { call } = job;
  const columns = mapColumns(call.sizes);
  const row = rowScratch.take(columns);
  for (let query = from; query < to; query++) {
    logitRow(job, batch, head, query, call.returns.logits!, row, operands);
    const at = rowIndex(call, batch, head, query) * columns;
    const logits = job.memory.logits;
    let beyondRange = false;
    for (let key = 0; key < columns; key++) {
      logits[at + key] = row[key];
      // -Infinity stands for a forbidden key; a finite logit that becomes infinite once rounded is an overflow.
      if (!Number.isFinite(logits[at + key]) && Number.isFinite(row[key])) beyondRange = true;
    }
    if (beyondRange) reportOverflow(job.status);
  }
}

/**
 * Weights of the selected queries [from, to) (positions in the selection) of one selected head, or reduced over
 * them, from the logits and the statistics that the output was made with: exp(logit - max) / sum.
 */
function writeWeights(
  job: Job,
  batch: number,
  slot: number,
  from: number,
  to: number,
  operandsOf: OperandsOf,
): void {
  const { call, memory } = job;
  const selection = call.returns.weights!;
  const columns = mapColumns(call.sizes);
  const firstHead = selection.reduce === null ? slot : 0;
  const lastHead = selection.reduce === null ? slot + 1 : selection.heads.length;
  const slots = selection.reduce === null ? selection.heads.length : 1;
  const row = rowScratch.take(columns);
  const reduced = reducedScratch.take(columns);

  for (let index = from; index < to; index++) {
    const query = selection.queries[index];
    reduced.fill(0, 0, columns);
    for (let at = firstHead; at < lastHead; at++) {
      const head = selection.heads[at];
      logitRow(job, batch, head, query, 'masked', row, operandsOf(job, batch, head));
      logitsToWeights(row, columns, storedRow(job, batch, head, query));
      for (let key = 0; key < columns; key++) {
        if (selection.reduce === 'max') reduced[key] = Math.max(reduced[key], row[key]);
        else reduced[key] += row[key] / (lastHead - firstHead);
      }
    }
    const at = (batch * slots + slot) * selection.queries.length + index;
    if (selection.topK === null) {
      const weights = memory.weights as RealArray;
      for (let key = 0; key < columns; key++) weights[at * columns + key] = reduced[key];
    } else {
      // Weights that are equal as they are returned are ties, though they may differ before rounding.
      if (call.precision !== 'float64')
        for (let key = 0; key < columns; key++) reduced[key] = Math.fround(reduced[key]);
      writeStrongest(
        reduced,
        columns,
        selection.topK,
        memory['weights.indices'] as Int32Array,
        memory['weights.values'] as RealArray,
        at * selection.topK,
      );
    }
  }
}

/** The k largest of a row, largest first, ties by lower index. Takes the values out of `row`. */
function writeStrongest(
  row: Float64Array,
  columns: number,
  k: number,
  indices: Int32Array,
  values: RealArray,
  at: number,
): void {
  // A bounded insertion into the result itself: O(columns) for most rows, no memory.
  let kept = 0;
  for (let key = 0; key < columns; key++) {
    const value = row[key];
    if (kept === k && !(value > row[indices[at + k - 1]])) continue;
    let slot = kept < k ? kept++ : k - 1;
    while (slot > 0 && value > row[indices[at + slot - 1]]) {
      indices[at + slot] = indices[at + slot - 1];
      slot--;
    }
    indices[at + slot] = key;
  }
  for (let slot = 0; slot < k; slot++) values[at + slot] = row[indices[at + slot]];
}
