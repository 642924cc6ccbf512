import { expectedResults } from '../check.ts';
import { SHAPES, type Shape, width } from '../shapes.ts';
import { type Inputs, makeInputs } from '../workload.ts';

export const SHAPE_NAMES = ['tiny', 'small', 'base'] as const;
export type ShapeName = (typeof SHAPE_NAMES)[number];

/** One layer, the tokens that are sent, and what the float64 reference makes of them. */
export interface Workload {
  readonly shape: Shape;
  readonly inputs: Inputs;
  readonly tokens: number;
  readonly width: number;
  /** The token embeddings, [tokens, width] as little-endian float32. */
  readonly raw: Uint8Array;
  /** The same as nested JSON arrays, in as many digits as a client's float64 has. */
  readonly json: string;
  readonly expected: ArrayLike<number>;
}

export async function makeWorkload(name: ShapeName): Promise<Workload> {
  const shape = SHAPES.find((candidate) => candidate.name === name)!;
  const inputs = makeInputs(shape);
  const { data } = inputs.x;
  const rows = nested(data, width(shape));
  return {
    shape,
    inputs,
    tokens: shape.queries,
    width: width(shape),
    raw: bytesOf(data),
    json: JSON.stringify(rows),
    expected: (await expectedResults(shape, inputs)).output,
  };
}

function nested(data: Float32Array, columns: number): number[][] {
  return Array.from({ length: data.length / columns }, (_, row) => {
    return Array.from(data.subarray(row * columns, (row + 1) * columns));
  });
}

/** A copy in memory that is not shared. */
export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength).slice();
}

export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}
