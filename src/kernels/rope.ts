import type { Positions, Rope } from '../domain/call.ts';

/**
 * Rotates one head row in place by its position (RoFormer, arXiv 2104.09864, equation 34): pair p turns by
 * position·theta^(-2p/dims), or by the given cosine and sine. `half` pairs p with p + dims/2, `interleaved` 2p with
 * 2p + 1.
 */
export function rotateRow(
  rope: Rope,
  role: 'query' | 'key',
  batch: number,
  row: number,
  x: Float64Array,
  at: number,
  direction: 1 | -1 = 1,
): void {
  const position = positionOf(role === 'query' ? rope.queryPositions : rope.keyPositions, batch, row);
  const pairs = rope.dims / 2;
  const half = rope.pairing === 'half';
  for (let pair = 0; pair < pairs; pair++) {
    let cos: number;
    let sin: number;
    if (rope.table === null) {
      const angle = position * rope.theta ** ((-2 * pair) / rope.dims);
      cos = Math.cos(angle);
      sin = Math.sin(angle);
    } else {
      cos = rope.table.cos[position * pairs + pair];
      sin = rope.table.sin[position * pairs + pair];
    }
    sin *= direction;
    const first = at + (half ? pair : 2 * pair);
    const second = at + (half ? pair + pairs : 2 * pair + 1);
    const a = x[first];
    const b = x[second];
    x[first] = a * cos - b * sin;
    x[second] = a * sin + b * cos;
  }
}

/** The transpose of the rotation, which carries gradients back; for angles also its inverse. */
export function rotateRowBack(
  rope: Rope,
  role: 'query' | 'key',
  batch: number,
  row: number,
  x: Float64Array,
  at: number,
): void {
  rotateRow(rope, role, batch, row, x, at, -1);
}

function positionOf(positions: Positions, batch: number, row: number): number {
  return positions.kind === 'from'
    ? positions.first + row
    : positions.table[batch * positions.batchStride + row];
}
