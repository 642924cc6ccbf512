import type { HeadView, Linear, Tokens } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { preparedStrides, type Role } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { concatTokens } from '../reference/project.ts';
import { reportOverflow } from '../status.ts';
import { HEIGHT, LANES, SLICE_BYTES } from './geometry.ts';
import type { Machine } from './machine.ts';
import { columnBlocks, loadBias, loadWeight, nameOf, piecesOf, sumBlocks } from './weights.ts';

const MOST_TOKENS = 132;

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
  const { panels, ofBlock } = columnBlocks(linear);
  const { inWidth, headSize } = linear;
  const first = block * ofBlock;
  const last = Math.min(first + ofBlock, panels);
  const pieces = piecesOf(linear, first, last);
  const rows = to - from;
  const padded = Math.ceil(rows / HEIGHT) * HEIGHT;
  const panelBytes = padded * LANES * 4;

  const name = nameOf(linear);
  const weight = machine.beginWith(
    { job, kind, index: block },
    name && `${name} ${block}`,
    (last - first) * inWidth * LANES * 4,
    (at) => loadWeight(machine, linear, { pieces, panels: last - first, at }),
  );
  const bias = machine.take(ofBlock * LANES * 4);
  const x = machine.take(padded * inWidth * 4);
  const result = machine.take(ofBlock * panelBytes);
  const y = machine.take(rows * Math.min(headSize, ofBlock * LANES) * 4);
  loadBias(machine, linear, pieces, ofBlock, bias);

  loadTokens(machine, tokens, batch * tokens.rows + from, rows, x);
  code.project(x, rows, weight, last - first, inWidth, result);

  let finite = true;
  const { batchStride, headStride, rowStride } = heads;
  for (const { head, column, columns, panel } of pieces) {
    if (!code.storeColumns(result + panel * panelBytes, rows, columns, bias + panel * LANES * 4, y)) {
      finite = false;
    }
    const target = batch * batchStride + head * headStride + from * rowStride + column;
    machine.copyOut(y, rows, columns, heads.data, target, rowStride);
  }
  if (!finite) reportOverflow(job.status);
}

/** Copies tokens and packs them as operand A, [blocks][panels][depth][6], slice by slice. */
function loadTokens(
  machine: Machine,
  { data, width }: Tokens,
  first: number,
  rows: number,
  to: number,
): void {
  const padded = Math.ceil(rows / HEIGHT) * HEIGHT;
  const most = Math.max(1, Math.floor(SLICE_BYTES / (4 * HEIGHT * width))) * HEIGHT;
  const slice = machine.take(Math.min(most, rows) * width * 4);
  for (let row = 0; row < rows; row += most) {
    const count = Math.min(most, rows - row);
    machine.copyIn(data, (first + row) * width, width, count, width, slice);
    for (const { k, depth } of sumBlocks(width)) {
      machine.code.packHeight(slice + k * 4, width * 4, count, depth, to + (k * padded + row * depth) * 4);
    }
  }
}
