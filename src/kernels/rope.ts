import type { Positions, Rope } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';
import { anglesOf } from './angles.ts';

/** Whose heads are rotated. */
export const ROTATED = ['query', 'key'] as const;
export type Rotated = (typeof ROTATED)[number];

/**
 * Rotates one head row in place by its position (RoFormer, arXiv 2104.09864, equation 34): pair p turns by
 * position·theta^(-2p/dims), or by the given cosine and sine. `half` pairs p with p + dims/2, `interleaved` 2p with
 * 2p + 1. Computes in float64 and rounds once. Returns whether all that it wrote is finite.
 */
export function rotateRow(
  rope: Rope,
  role: Rotated,
  batch: number,
  row: number,
  x: RealArray,
  at: number,
  direction: 1 | -1 = 1,
): boolean {
  const pairs = rope.dims / 2;
  const { cosines, sines, from } = anglesAt(rope, role, batch, row);
  const [step, apart] = rope.pairing === 'half' ? [1, pairs] : [2, 1];
  // x·0 is 0 for every finite x and NaN for every other.
  let probe = 0;
  for (let pair = 0, first = at; pair < pairs; pair++, first += step) {
    const cos = cosines[from + pair];
    const sin = direction * sines[from + pair];
    const a = x[first];
    const b = x[first + apart];
    x[first] = a * cos - b * sin;
    x[first + apart] = a * sin + b * cos;
    probe += x[first] * 0 + x[first + apart] * 0;
  }
  return probe === 0;
}

/** Where the cosines and sines of the dims/2 pairs of a row stand; until the next row is asked for. */
export function anglesAt(
  rope: Rope,
  role: Rotated,
  batch: number,
  row: number,
): { readonly cosines: RealArray; readonly sines: RealArray; readonly from: number } {
  const { theta, dims, table } = rope;
  const position = positionOf(positionsOf(rope, role), batch, row);
  const pairs = dims / 2;
  if (table !== null) return { cosines: table.cos, sines: table.sin, from: position * pairs };
  const angles = anglesOf(theta, dims);
  const from = angles.rowOf(position) * pairs;
  return { cosines: angles.cos, sines: angles.sin, from };
}

/** The transpose of the rotation, which carries gradients back; for angles also its inverse. */
export function rotateRowBack(
  rope: Rope,
  role: Rotated,
  batch: number,
  row: number,
  x: RealArray,
  at: number,
): boolean {
  return rotateRow(rope, role, batch, row, x, at, -1);
}

export function positionsOf({ queryPositions, keyPositions }: Rope, role: Rotated): Positions {
  return role === 'query' ? queryPositions : keyPositions;
}

function positionOf(positions: Positions, batch: number, row: number): number {
  return positions.kind === 'from'
    ? positions.first + row
    : positions.table[batch * positions.batchStride + row];
}
