import type { HeadView, Linear, Tokens } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { preparedStrides, type Role } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { concatTokens } from '../reference/project.ts';
import { reportOverflow } from '../status.ts';
import { HEIGHT, LANES } from './geometry.ts';
import type { Machine } from './machine.ts';

/** Packed weights that a thread holds at a time. */
const WEIGHT_BYTES = 4 * 2 ** 20;
const MOST_TOKENS = 96;

/** Columns of a linear map, cut into panels inside each head, and the panels into blocks. */
export function columnBlocks({ headColumn, headSize, inWidth }: Linear) {
  const ofHead = Math.ceil(headSize / LANES);
  const panels = ofHead * headColumn.length;
  const most = Math.max(1, Math.floor(WEIGHT_BYTES / (4 * LANES * inWidth)));
  // Whole heads where they fit: their rows leave in one piece.
  const unit = most >= ofHead ? ofHead : 1;
  const blocks = Math.ceil(panels / (most - (most % unit)));
  const ofBlock = Math.ceil(panels / blocks / unit) * unit;
  return { ofHead, panels, ofBlock, blocks: Math.ceil(panels / ofBlock) };
}

/** Tokens of a tile: about the same number for each, in whole panels. */
export function tileTokens(rows: number): number {
  const tiles = Math.ceil(rows / MOST_TOKENS);
  return Math.ceil(rows / tiles / HEIGHT) * HEIGHT;
}

/** Q = X·W_Q + b_Q (likewise K, V) for the tokens [from, to) and a block of columns. */
export function projectHeads(machine: () => Machine, role: Role) {
  return (job: Job, batch: number, block: number, from: number, to: number): void => {
    const source = job.call[role];
    if (source.kind !== 'projected') throw new TypeError(`The ${role} heads are given.`);
    const heads = { data: job.memory[role] as RealArray, ...preparedStrides(job.call, role) };
    projectBlock(machine(), job, role, source.linear, source.tokens, heads, batch, block, from, to);
  };
}

/** output = Concat(head_1 … head_H)·W_O + b_O for the tokens [from, to) and a block of columns. */
export function projectOutput(machine: () => Machine) {
  return (job: Job, batch: number, block: number, from: number, to: number): void => {
    const { outputProjection, results } = job.call;
    const output = { data: job.memory.output as RealArray, ...results.output.strides };
    const tokens = concatTokens(job);
    projectBlock(machine(), job, 'output', outputProjection!, tokens, output, batch, block, from, to);
  };
}

function projectBlock(
  machine: Machine,
  job: Job,
  kind: string,
  linear: Linear,
  tokens: Tokens,
  heads: HeadView,
  batch: number,
  block: number,
  from: number,
  to: number,
): void {
  const { code } = machine;
  const { ofHead, panels, ofBlock } = columnBlocks(linear);
  const { inWidth, headSize } = linear;
  const first = block * ofBlock;
  const last = Math.min(first + ofBlock, panels);
  const rows = to - from;
  const padded = Math.ceil(rows / HEIGHT) * HEIGHT;
  const pieceBytes = padded * LANES * 4;

  const weight = machine.begin(ofBlock * inWidth * LANES * 4);
  const bias = machine.take(ofBlock * LANES * 4);
  const given = machine.take(rows * inWidth * 4);
  const x = machine.take(padded * inWidth * 4);
  const result = machine.take((last - first) * pieceBytes);
  const y = machine.take(rows * Math.min(headSize, ofBlock * LANES) * 4);
  if (!machine.holds(job, kind, block)) loadWeight(machine, linear, first, last, weight);
  loadBias(machine, linear, first, last, bias);

  const at = (batch * tokens.rows + from) * inWidth;
  machine.copyIn(tokens.data, at, inWidth, rows, inWidth, given);
  code.packHeight(given, inWidth * 4, rows, inWidth, x);
  code.project(x, rows, weight, last - first, inWidth, result);

  let finite = true;
  for (let panel = first; panel < last; ) {
    const { head, column, columns, next } = headPiece(panel, last, ofHead, headSize);
    const piece = panel - first;
    if (!code.storeColumns(result + piece * pieceBytes, rows, columns, bias + piece * LANES * 4, y)) {
      finite = false;
    }
    const { batchStride, headStride, rowStride } = heads;
    const target = batch * batchStride + head * headStride + from * rowStride + column;
    machine.copyOut(y, rows, columns, heads.data, target, rowStride);
    panel = next;
  }
  if (!finite) reportOverflow(job.status);
}

/** The columns that the panels [panel, last) have of the head in which they begin. */
function headPiece(panel: number, last: number, ofHead: number, headSize: number) {
  const head = Math.floor(panel / ofHead);
  const next = Math.min((head + 1) * ofHead, last);
  const column = (panel - head * ofHead) * LANES;
  const columns = Math.min((next - head * ofHead) * LANES, headSize) - column;
  return { head, column, columns, next };
}

/** Copies the part of W that holds the columns of the panels [first, last), and packs them. */
function loadWeight(machine: Machine, linear: Linear, first: number, last: number, to: number): void {
  const { weight, inStride, outStride, inWidth, headSize, headColumn } = linear;
  const { ofHead } = columnBlocks(linear);
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (let panel = first; panel < last; ) {
    const { head, column, columns, next } = headPiece(panel, last, ofHead, headSize);
    low = Math.min(low, headColumn[head] + column);
    high = Math.max(high, headColumn[head] + column + columns);
    panel = next;
  }
  const { code } = machine;
  const width = high - low;
  const given = machine.take(width * inWidth * 4);
  const byColumns = outStride === 1;
  if (byColumns) machine.copyIn(weight, low, inStride, inWidth, width, given);
  else machine.copyIn(weight, low * outStride, outStride, width, inWidth, given);
  for (let panel = first; panel < last; ) {
    const { head, column, columns, next } = headPiece(panel, last, ofHead, headSize);
    const at = headColumn[head] + column - low;
    const target = to + (panel - first) * inWidth * LANES * 4;
    if (byColumns) code.packLaneColumns(given + at * 4, width * 4, columns, inWidth, target);
    else code.packLanes(given + at * inWidth * 4, inWidth * 4, columns, inWidth, target);
    panel = next;
  }
}

/** The bias of the panels [first, last), zeros where there is none. */
function loadBias(machine: Machine, linear: Linear, first: number, last: number, to: number): void {
  const { bias, biasColumn, headSize } = linear;
  const { ofHead } = columnBlocks(linear);
  const { floats } = machine;
  floats.fill(0, to / 4, to / 4 + (last - first) * LANES);
  if (bias === null) return;
  for (let panel = first; panel < last; panel++) {
    const { head, column, columns } = headPiece(panel, panel + 1, ofHead, headSize);
    for (let c = 0; c < columns; c++) {
      floats[to / 4 + (panel - first) * LANES + c] = bias[biasColumn[head] + column + c];
    }
  }
}
