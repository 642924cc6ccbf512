/** Bytes of the cosines and sines that a thread keeps of one kind of rotation at the most, and of how many kinds. */
const MOST_BYTES = 4 * 2 ** 20;
const MOST_KINDS = 4;
/** Positions that there is room for at first: most calls are short, and a kind may be met once only. */
const FIRST_ROWS = 64;

/**
 * Cosines and sines of position·theta^(-2p/dims) for positions that this thread has met. Every head turns by the same
 * angles, and to make one takes ten times as long as to turn by it.
 */
class Angles {
  readonly theta: number;
  readonly dims: number;
  /** [rows, dims/2], as the table of a call; others once rowOf has made room. */
  cos!: Float64Array;
  sin!: Float64Array;
  /** The position that a row is of. */
  #positions!: Float64Array;
  readonly #frequencies: Float64Array;
  readonly #mostRows: number;

  constructor(theta: number, dims: number) {
    const pairs = dims / 2;
    this.theta = theta;
    this.dims = dims;
    this.#frequencies = Float64Array.from({ length: pairs }, (_, pair) => theta ** ((-2 * pair) / dims));
    this.#mostRows = Math.max(1, Math.floor(MOST_BYTES / (16 * pairs)));
    this.#makeRoom(FIRST_ROWS);
  }

  /** The row of a position, which takes the place of another one where there is no more room. */
  rowOf(position: number): number {
    let row = this.#placeOf(position);
    if (this.#positions[row] === position) return row;
    const rows = this.#positions.length;
    if (!Number.isNaN(this.#positions[row]) && rows < this.#mostRows) {
      this.#makeRoom(2 * rows);
      row = this.#placeOf(position);
    }
    this.#positions[row] = position;
    const pairs = this.#frequencies.length;
    for (let pair = 0; pair < pairs; pair++) {
      const angle = position * this.#frequencies[pair];
      this.cos[row * pairs + pair] = Math.cos(angle);
      this.sin[row * pairs + pair] = Math.sin(angle);
    }
    return row;
  }

  #placeOf(position: number): number {
    return Math.abs(Math.floor(position)) % this.#positions.length;
  }

  /** What was there is made again when it is met: copies would have to find new places. */
  #makeRoom(wanted: number): void {
    const rows = Math.min(wanted, this.#mostRows);
    this.cos = new Float64Array(rows * this.#frequencies.length);
    this.sin = new Float64Array(rows * this.#frequencies.length);
    this.#positions = new Float64Array(rows).fill(Number.NaN);
  }
}

const kinds: Angles[] = [];

/** The angles of one kind of rotation; those that were asked for first make room for others. */
export function anglesOf(theta: number, dims: number): Angles {
  for (const angles of kinds) if (angles.theta === theta && angles.dims === dims) return angles;
  const angles = new Angles(theta, dims);
  if (kinds.length === MOST_KINDS) kinds.shift();
  kinds.push(angles);
  return angles;
}
