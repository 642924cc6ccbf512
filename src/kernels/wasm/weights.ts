import type { Linear } from '../../domain/call.ts';
import { DEPTH, LANES, SLICE_BYTES } from './geometry.ts';
import type { Machine } from './machine.ts';

/** Packed weights that a thread holds at a time. */
const WEIGHT_BYTES = 4 * 2 ** 20;

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

/** Columns of one head that panels of a block have. */
export interface Piece {
  readonly head: number;
  /** The first of them, in the head. */
  readonly column: number;
  readonly columns: number;
  /** Their first panel, counted from that of the block. */
  readonly panel: number;
}

/** The pieces of the panels [first, last). */
export function piecesOf(linear: Linear, first: number, last: number): Piece[] {
  const { headSize } = linear;
  const { ofHead } = columnBlocks(linear);
  const pieces: Piece[] = [];
  for (let panel = first; panel < last; ) {
    const head = Math.floor(panel / ofHead);
    const next = Math.min((head + 1) * ofHead, last);
    const column = (panel - head * ofHead) * LANES;
    const columns = Math.min((next - head * ofHead) * LANES, headSize) - column;
    pieces.push({ head, column, columns, panel: panel - first });
    panel = next;
  }
  return pieces;
}

/** Blocks of the sum over k: where each begins and how many terms it has. */
export function* sumBlocks(width: number): Generator<{ readonly k: number; readonly depth: number }> {
  for (let k = 0; k < width; k += DEPTH) yield { k, depth: Math.min(DEPTH, width - k) };
}

const names = new WeakMap<Linear, string>();

/** By what a packed weight is known: its numbers, and how its columns are cut into heads. null where nobody names them. */
export function nameOf(linear: Linear): string | null {
  if (linear.content === undefined) return null;
  let name = names.get(linear);
  if (name === undefined) {
    name = [linear.content, linear.headSize, ...linear.headColumn].join(' ');
    names.set(linear, name);
  }
  return name;
}

/** Where the pieces of a block of columns are packed to, [blocks of the sum][panels][depth][8]. */
export interface PackedBlock {
  readonly pieces: readonly Piece[];
  readonly panels: number;
  readonly at: number;
}

/** Copies the pieces of W and packs them. */
export function loadWeight(machine: Machine, linear: Linear, block: PackedBlock): void {
  if (linear.outStride === 1) loadRows(machine, linear, block);
  else loadColumns(machine, linear, block);
}

/** Where the columns of W lie side by side: slices of rows, from the first column of the pieces to the last. */
function loadRows(machine: Machine, linear: Linear, { pieces, panels, at }: PackedBlock): void {
  const { weight, inStride, inWidth, headColumn } = linear;
  const low = Math.min(...pieces.map(({ head, column }) => headColumn[head] + column));
  const high = Math.max(...pieces.map(({ head, column, columns }) => headColumn[head] + column + columns));
  const width = high - low;
  const most = Math.max(1, Math.floor(SLICE_BYTES / (4 * width)));
  const slice = machine.take(most * width * 4);
  for (const { k, depth } of sumBlocks(inWidth)) {
    for (let row = 0; row < depth; row += most) {
      const rows = Math.min(most, depth - row);
      machine.copyIn(weight, low + (k + row) * inStride, inStride, rows, width, slice);
      for (const { head, column, columns, panel } of pieces) {
        const from = slice + (headColumn[head] + column - low) * 4;
        const target = at + (k * panels + panel * depth + row) * LANES * 4;
        machine.code.packLaneColumns(from, width * 4, columns, rows, target, depth * LANES * 4);
      }
    }
  }
}

/** Where each column of W lies in one piece: slices of columns. */
function loadColumns(machine: Machine, linear: Linear, { pieces, panels, at }: PackedBlock): void {
  const { weight, outStride, inWidth, headColumn } = linear;
  const most = Math.max(1, Math.floor(SLICE_BYTES / (4 * LANES * inWidth))) * LANES;
  const slice = machine.take(most * inWidth * 4);
  for (const { head, column, columns, panel } of pieces) {
    for (let first = 0; first < columns; first += most) {
      const count = Math.min(most, columns - first);
      const from = (headColumn[head] + column + first) * outStride;
      machine.copyIn(weight, from, outStride, count, inWidth, slice);
      for (const { k, depth } of sumBlocks(inWidth)) {
        const target = at + (k * panels * LANES + (panel * LANES + first) * depth) * 4;
        machine.code.packLanes(slice + k * 4, inWidth * 4, count, depth, target);
      }
    }
  }
}

/** The bias of the pieces, zeros where there is none. */
export function loadBias(
  { floats }: Machine,
  { bias, biasColumn }: Linear,
  pieces: readonly Piece[],
  panels: number,
  to: number,
): void {
  floats.fill(0, to / 4, to / 4 + panels * LANES);
  if (bias === null) return;
  for (const { head, column, columns, panel } of pieces) {
    const from = biasColumn[head] + column;
    for (let c = 0; c < columns; c++) floats[to / 4 + panel * LANES + c] = bias[from + c];
  }
}
