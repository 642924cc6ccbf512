import type { AttentionCall, Broadcast } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { visibleFrom, visibleTo } from '../../domain/visibility.ts';
import { headsOf, kvHeadOf } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { chunkBytes, chunkKeys, loadKeys, rowBytes, SCORE_BYTES } from './keys.ts';
import type { Machine } from './machine.ts';

const LANES = 8;

/** Places in a panel of queries, in numbers of four bytes; as in assembly/state.ts. */
const FROM = 0;
const TO = LANES;
const POSITION = 2 * LANES;
export const TOP = 3 * LANES;
export const SUM = 4 * LANES;
export const FACTOR = 5 * LANES;
const RANGES = 6 * LANES;

/** Rows of addends are read in vectors, also where the last of a row is half empty. */
const ADDEND_SLACK = 4;

/** Queries of one tile, in panels of 8, with the room that their work needs. */
export interface QueryTile {
  readonly machine: Machine;
  readonly job: Job;
  readonly batch: number;
  /** Query of each row of the tile. */
  readonly queryOf: (row: number) => number;
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
  queryOf: (row: number) => number,
): QueryTile {
  const call = job.call as AttentionCall;
  const { headSize } = call.sizes;
  setHead(machine, call, 0);
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
    queryRows: machine.take(LANES * headSize * 4),
    addends: {
      bias: call.score.bias === null ? 0 : machine.take(addends * 4),
      allow: call.visibility.allow === null ? 0 : machine.take(addends),
      forbid: call.visibility.forbid === null ? 0 : machine.take(addends),
    },
  };
}

function setHead(machine: Machine, { sizes, score }: AttentionCall, head: number): void {
  const slope = score.alibiSlopes === null ? 0 : score.alibiSlopes[head];
  machine.code.setHead(sizes.headSize, sizes.valueHeadSize, sizes.keys, score.softcap ?? 0, slope);
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

/** Fills the panels with the queries of one head, times `scale`, and with what they may see. */
export function loadQueries(tile: QueryTile, head: number, scale: number): void {
  const { machine, job, batch, queryOf, queryRows } = tile;
  const { headSize } = job.call.sizes;
  const view = headsOf(job, 'query');
  const base = batch * view.batchStride + head * view.headStride;
  setHead(machine, job.call, head);
  forEachPanel(tile, (panel, row, lanes) => {
    for (let lane = 0; lane < lanes; lane++) {
      const from = base + queryOf(row + lane) * view.rowStride;
      machine.copyIn(view.data, from, headSize, 1, headSize, queryRows + lane * headSize * 4);
    }
    describeLanes(tile, panel, row, lanes);
    machine.code.packQueries(panel, queryRows, lanes, scale);
  });
}

/** Writes the keys that each lane may see; the last one stands in for lanes beyond it. */
function describeLanes(
  { machine, job, batch, queryOf }: QueryTile,
  panel: number,
  row: number,
  lanes: number,
): void {
  const { floats, ints } = machine;
  const { visibility } = job.call;
  const at = panel / 4;
  let anyFrom = Number.MAX_SAFE_INTEGER;
  let anyTo = 0;
  let allFrom = 0;
  let allTo = Number.MAX_SAFE_INTEGER;
  for (let lane = 0; lane < LANES; lane++) {
    const query = queryOf(row + Math.min(lane, lanes - 1));
    const from = visibleFrom(visibility, batch, query);
    const to = Math.max(from, visibleTo(visibility, batch, query));
    floats[at + FROM + lane] = from;
    floats[at + TO + lane] = to;
    floats[at + POSITION + lane] = query + visibility.offsets[batch];
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

/** Has the keys from `first` on that a query head reads in memory, and its bias and masks for them. Returns their number. */
export function loadChunk(tile: QueryTile, head: number, first: number): number {
  const { machine, job, batch, keys, keyRows } = tile;
  const count = loadKeys(machine, job, batch, kvHeadOf(job.call, head), first, keys, keyRows);
  loadAddends(tile, head, first, Math.min(count, job.call.sizes.keys - first));
  return count;
}

function loadAddends(tile: QueryTile, head: number, first: number, count: number): void {
  const { machine, batch, rows, queryOf, addends } = tile;
  const { score, visibility } = tile.job.call as AttentionCall;
  const stride = count + ADDEND_SLACK;
  const copy = <Data extends RealArray | Uint8Array>(
    tensor: Broadcast<Data> | null,
    target: Float32Array | Uint8Array,
    to: number,
  ): void => {
    if (tensor === null) return;
    const { data, batchStride, headStride, queryStride } = tensor;
    const base = batch * batchStride + head * headStride + first;
    for (let row = 0; row < rows; row++) {
      const from = base + queryOf(row) * queryStride;
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
