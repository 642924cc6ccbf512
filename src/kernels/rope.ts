import type { Positions, Rope } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';

/**
 * Rotates one head row in place by its position (RoFormer, arXiv 2104.09864, equation 34): pair p turns by
 * position·theta^(-2p/dims), or by the given cosine and sine. `half` pairs p with p + dims/2, `interleaved` 2p with
 * 2p + 1. Computes in float64 and rounds once. Returns whether all that it wrote is finite.
 */
export function rotateRow(
  rope: Rope,
  role: 'query' | 'key',
  batch: number,
  row: number,
  x: RealArray,
  at: number,
  direction: 1 | -1 = 1,
): boolean {
  const position = positionOf(role === 'query' ? rope.queryPositions : rope.keyPositions, batch, row);
  const pairs = rope.dims / 2;
  const angles = rope.table === null ? anglesOf(rope.theta, rope.dims) : null;
  const { cos: cosines, sin: sines } = angles ?? rope.table!;
  const from = (angles === null ? position : angles.rowOf(position)) * pairs;
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

/** The transpose of the rotation, which carries gradients back; for angles also its inverse. */
export function rotateRowBack(
  rope: Rope,
  role: 'query' | 'key',
  batch: number,
  row: number,
  x: RealArray,
  at: number,
): boolean {
  return rotateRow(rope, role, batch, row, x, at, -1);
}

/** Bytes of the cosines and sines that a thread keeps of one kind of rotation, and how many kinds. */
const ANGLE_BYTES = 4 * 2 ** 20;
const MOST_KINDS = 2;

/**
 * Cosines and sines of position·theta^(-2p/dims) for positions that this thread has met. Every head turns by the same
 * angles, and to make one takes ten times as long as to turn by it.
 */
class Angles {
  readonly theta: number;
  readonly dims: number;
  /** [positions, dims/2], as the table of a call. */
  readonly cos: Float64Array;
  readonly sin: Float64Array;
  /** The position that a row is of. */
  readonly #positions: Float64Array;
  readonly #frequencies: Float64Array;

  constructor(theta: number, dims: number) {
    this.theta = theta;
    this.dims = dims;
    const pairs = dims / 2;
    const rows = Math.max(1, Math.floor(ANGLE_BYTES / (16 * pairs)));
    this.cos = new Float64Array(rows * pairs);
    this.sin = new Float64Array(rows * pairs);
    this.#positions = new Float64Array(rows).fill(Number.NaN);
    this.#frequencies = Float64Array.from({ length: pairs }, (_, pair) => theta ** ((-2 * pair) / dims));
  }

  /** The row of a position, which takes the place of another one where it is not there. */
  rowOf(position: number): number {
    const row = Math.abs(Math.floor(position)) % this.#positions.length;
    if (this.#positions[row] === position) return row;
    this.#positions[row] = position;
    const pairs = this.#frequencies.length;
    for (let pair = 0; pair < pairs; pair++) {
      const angle = position * this.#frequencies[pair];
      this.cos[row * pairs + pair] = Math.cos(angle);
      this.sin[row * pairs + pair] = Math.sin(angle);
    }
    return row;
  }
}

const kinds: Angles[] = [];

function anglesOf(theta: number, dims: number): Angles {
  for (const angles of kinds) if (angles.theta === theta && angles.dims === dims) return angles;
  const angles = new Angles(theta, dims);
  if (kinds.length === MOST_KINDS) kinds.shift();
  kinds.push(angles);
  return angles;
}

function positionOf(positions: Positions, batch: number, row: number): number {
  return positions.kind === 'from'
    ? positions.first + row
    : positions.table[batch * positions.batchStride + row];
}
