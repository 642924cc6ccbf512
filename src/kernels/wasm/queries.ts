import type { AttentionCall, Broadcast } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { visibleFrom, visibleTo } from '../../domain/visibility.ts';
import { headsOf, kvHeadOf } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { LANES } from './geometry.ts';
import { chunkBytes, chunkKeys, loadKeys, rowBytes, SCORE_BYTES } from './keys.ts';
import type { Machine } from './machine.ts';

/** Places in a panel of queries, in numbers of four bytes; as in assembly/state.ts. */
const FROM = 0;
const TO = LANES;
const POSITION = 2 * LANES;
export const TOP = 3 * LANES;
export const SUM = 4 * LANES;
export const FACTOR = 5 * LANES;
const SLOPE = 6 * LANES;
const RANGES = 7 * LANES;

/** Rows of addends are read in vectors, also where the last of a row is half empty. */
const ADDEND_SLACK = 4;

/** Which head or query a row of a tile stands for. */
export type RowMap = (row: number) => number;

/**
 * Rows of one tile, in panels of 8, with the room that their work needs. A row is a query of a head; all heads of a tile
 * read the same keys.
 */
export interface QueryTile {
  readonly machine: Machine;
  readonly job: Job;
  readonly batch: number;
  readonly queryOf: RowMap;
  readonly rows: number;
  readonly panels: number;
  readonly panelBytes: number;
  /** Scores of a block. */
  readonly scores: number;
  readonly keys: number;
  readonly keyRows: number;
  readonly queryRows: number;
  readonly addends: { readonly bias: number; readonly allow: number; readonly forbid: number };
}

export function beginTile(
  machine: Machine,
  job: Job,
  batch: number,
  rows: number,
  queryOf: RowMap,
): QueryTile {
  const call = job.call;
  const { sizes, score } = call;
  const softcap = score.softcap ?? 0;
  const hasAlibi = score.alibiSlopes !== null;
  machine.code.setHead(sizes.headSize, sizes.valueHeadSize, sizes.keys, softcap, hasAlibi);
  const panelBytes = machine.code.panelBytes();
  const addends = rows * (chunkKeys(call) + ADDEND_SLACK);
  return {
    machine,
    job,
    batch,
    queryOf,
    rows,
    panelBytes,
    keys: machine.begin(chunkBytes(call)),
    keyRows: machine.take(rowBytes(call)),
    panels: machine.take(Math.ceil(rows / LANES) * panelBytes),
    scores: machine.take(SCORE_BYTES),
    queryRows: machine.take(LANES * sizes.headSize * 4),
    addends: {
      bias: call.score.bias === null ? 0 : machine.take(addends * 4),
      allow: call.visibility.allow === null ? 0 : machine.take(addends),
      forbid: call.visibility.forbid === null ? 0 : machine.take(addends),
    },
  };
}

/** Calls `visit` with each panel: its address, its first row in the tile and its lanes. */
export function forEachPanel(
  { panels, panelBytes, rows }: QueryTile,
  visit: (panel: number, row: number, lanes: number) => void,
): void {
  for (let row = 0; row < rows; row += LANES) {
    visit(panels + (row / LANES) * panelBytes, row, Math.min(LANES, rows - row));
  }
}

/** Calls `visit` with each run of lanes that are queries of one head after each other: the first of them and their number. */
export function forEachRun(
  { queryOf }: QueryTile,
  headOf: RowMap,
  row: number,
  lanes: number,
  visit: (head: number, query: number, lane: number, count: number) => void,
): void {
  for (let lane = 0; lane < lanes; ) {
    const head = headOf(row + lane);
    const query = queryOf(row + lane);
    let count = 1;
    while (lane + count < lanes) {
      const next = row + lane + count;
      if (queryOf(next) !== query + count || headOf(next) !== head) break;
      count++;
    }
    visit(head, query, lane, count);
    lane += count;
  }
}

/** Fills the panels with the queries of the rows, times `scale`, and with what they may see. */
export function loadQueries(tile: QueryTile, headOf: RowMap, scale: number): void {
  const { machine, job, batch, queryRows } = tile;
  const { headSize } = job.call.sizes;
  const { data, batchStride, headStride, rowStride } = headsOf(job, 'query');
  forEachPanel(tile, (panel, row, lanes) => {
    forEachRun(tile, headOf, row, lanes, (head, query, lane, count) => {
      const from = batch * batchStride + head * headStride + query * rowStride;
      machine.copyIn(data, from, rowStride, count, headSize, queryRows + lane * headSize * 4);
    });
    describeLanes(tile, headOf, panel, row, lanes);
    machine.code.packQueries(panel, queryRows, lanes, scale);
  });
}

/** Writes the keys that each lane may see; the last one stands in for lanes beyond it. */
function describeLanes(
  { machine, job, batch, queryOf }: QueryTile,
  headOf: RowMap,
  panel: number,
  firstRow: number,
  lanes: number,
): void {
  const { floats, ints } = machine;
  const { visibility, score } = job.call;
  const at = panel / 4;
  let anyFrom = Number.MAX_SAFE_INTEGER;
  let anyTo = 0;
  let allFrom = 0;
  let allTo = Number.MAX_SAFE_INTEGER;
  for (let lane = 0; lane < LANES; lane++) {
    const row = firstRow + Math.min(lane, lanes - 1);
    const query = queryOf(row);
    const from = visibleFrom(visibility, batch, query);
    const to = Math.max(from, visibleTo(visibility, batch, query));
    floats[at + FROM + lane] = from;
    floats[at + TO + lane] = to;
    floats[at + POSITION + lane] = query + visibility.offsets[batch];
    floats[at + SLOPE + lane] = score.alibiSlopes === null ? 0 : score.alibiSlopes[headOf(row)];
    anyFrom = Math.min(anyFrom, from);
    anyTo = Math.max(anyTo, to);
    allFrom = Math.max(allFrom, from);
    allTo = Math.min(allTo, to);
  }
  ints[at + RANGES] = anyFrom;
  ints[at + RANGES + 1] = anyTo;
  ints[at + RANGES + 2] = allFrom;
  ints[at + RANGES + 3] = allTo;
}

/** Calls `visit` with the first key of each chunk. */
export function forEachChunk(call: AttentionCall, visit: (first: number) => void): void {
  const all = call.sizes.keys + call.sizes.extras;
  const chunk = chunkKeys(call);
  for (let first = 0; first < all; first += chunk) visit(first);
}

/** Has the keys from `first` on in memory, with the bias and masks of the rows for them. Returns their number. */
export function loadChunk(tile: QueryTile, headOf: RowMap, first: number): number {
  const { machine, job, batch, keys, keyRows } = tile;
  const count = loadKeys(machine, job, batch, kvHeadOf(job.call, headOf(0)), first, keys, keyRows);
  loadAddends(tile, headOf, first, Math.min(count, job.call.sizes.keys - first));
  return count;
}

function loadAddends(tile: QueryTile, headOf: RowMap, first: number, count: number): void {
  const { machine, batch, rows, queryOf, addends } = tile;
  const { score, visibility } = tile.job.call;
  const stride = count + ADDEND_SLACK;
  const copy = <Data extends RealArray | Uint8Array>(
    tensor: Broadcast<Data> | null,
    target: Float32Array | Uint8Array,
    to: number,
  ): void => {
    if (tensor === null) return;
    const { data, batchStride, headStride, queryStride } = tensor;
    const base = batch * batchStride + first;
    for (let row = 0; row < rows; row++) {
      const from = base + headOf(row) * headStride + queryOf(row) * queryStride;
      target.set(data.subarray(from, from + count), to + row * stride);
    }
  };
  if (count <= 0) {
    machine.code.setAddends(0, 0, 0, first, 0);
    return;
  }
  copy(score.bias, machine.floats, addends.bias / 4);
  copy(visibility.allow, machine.bytes, addends.allow);
  copy(visibility.forbid, machine.bytes, addends.forbid);
  machine.code.setAddends(addends.bias, addends.allow, addends.forbid, first, stride);
}
