import type { Positions, Rope, Sizes } from '../domain/call.ts';
import { problemAt } from '../domain/problem.ts';
import type { Tensor } from '../domain/tensor.ts';
import type { AttentionOptions } from './schemas/options.ts';
import { expectShape, shapeProblem } from './shapes.ts';

type RopeBody = NonNullable<AttentionOptions['rope']>;

/** Whether the new keys stand at the same tokens as the queries; `unclear` where a cache makes it look so but L is not S - P. */
export type KeyOrigin = 'query_tokens' | 'elsewhere' | 'unclear';

/** The rotary embedding of a call. */
export function readRope(
  rope: RopeBody | undefined,
  sizes: Sizes,
  origin: KeyOrigin,
  rank: number,
): Rope | null {
  if (rope === undefined) return null;
  const dims = rope.dims ?? sizes.headSize;
  if (dims % 2 !== 0 || dims > sizes.headSize) {
    const pointer = rope.dims === undefined ? '/rope' : '/rope/dims';
    const detail = `Expected an even number of dimensions up to the head size ${sizes.headSize}; got ${dims}.`;
    throw problemAt('invalid_option', pointer, detail);
  }
  const queryPositions = readQueryPositions(rope, sizes, rank);
  const keyPositions = readKeyPositions(rope, sizes, origin, rank, queryPositions);
  const table = readTable(rope, dims);
  if (table !== null) {
    const { batch, queries, keys, past } = sizes;
    const isBare = rope.positions?.shape.length === 1;
    checkInTable('/rope/positions', queryPositions, { batch, isBare, count: queries, rows: table.rows });
    const areKeysBare = rope.key_positions?.shape.length === 1;
    const checked = { batch, isBare: areKeysBare, count: keys - past, rows: table.rows };
    checkInTable('/rope/key_positions', keyPositions, checked);
  }
  return { pairing: rope.pairing, theta: rope.theta ?? 10000, dims, queryPositions, keyPositions, table };
}

function readQueryPositions(rope: RopeBody, sizes: Sizes, rank: number): Positions {
  if (rope.positions === undefined) return { kind: 'from', first: rope.offset ?? 0 };
  refuseBoth(rope.offset, '/rope/offset', '/rope/positions');
  return positionTable('/rope/positions', rope.positions, sizes.batch, sizes.queries, 0, rank, '[B, L]');
}

function readKeyPositions(
  rope: RopeBody,
  sizes: Sizes,
  origin: KeyOrigin,
  rank: number,
  queryPositions: Positions,
): Positions {
  const fresh = sizes.keys - sizes.past;
  if (rope.key_positions !== undefined) {
    refuseBoth(rope.key_offset, '/rope/key_offset', '/rope/key_positions');
    const columns = rope.key_positions.shape.at(-1);
    // Positions of past keys may be sent along; they are rotated already and their positions are not used.
    const past = columns === sizes.keys ? sizes.past : 0;
    const letters = sizes.past === 0 ? '[B, S]' : '[B, S] or the new keys only, [B, S - P]';
    return positionTable('/rope/key_positions', rope.key_positions, sizes.batch, fresh, past, rank, letters);
  }
  if (rope.key_offset !== undefined) return { kind: 'from', first: rope.key_offset };
  if (origin === 'query_tokens') return queryPositions;
  if (origin === 'elsewhere') return { kind: 'from', first: 0 };
  throw problemAt(
    'invalid_option',
    '/rope/key_offset',
    `Expected the position of the first new key: with a cache of ${sizes.past}, ${fresh} new keys and ${sizes.queries} queries do not stand at the same tokens.`,
  );
}

function refuseBoth(offset: number | undefined, offsetPointer: string, positionsPointer: string): void {
  if (offset === undefined) return;
  throw problemAt('invalid_option', offsetPointer, `Expected either this or ${positionsPointer}; got both.`);
}

function positionTable(
  pointer: string,
  tensor: Tensor<Float64Array>,
  batch: number,
  rows: number,
  skipped: number,
  rank: number,
  letters: string,
): Positions {
  const bare = rank === 2 && tensor.shape.length === 1;
  const columns = rows + skipped;
  expectShape(pointer, tensor, bare ? [columns] : [batch, columns], letters);
  return { kind: 'table', table: tensor.data.subarray(skipped), batchStride: columns };
}

function readTable(rope: RopeBody, dims: number): Rope['table'] {
  const { cos, sin } = rope;
  if (cos === undefined && sin === undefined) return null;
  if (cos === undefined || sin === undefined) {
    const missing = cos === undefined ? 'cos' : 'sin';
    throw problemAt(
      'invalid_option',
      `/rope/${missing}`,
      'Expected cos and sin together; got only one of them.',
    );
  }
  if (rope.theta !== undefined) {
    throw problemAt('invalid_option', '/rope/theta', 'Expected either theta or cos and sin; got both.');
  }
  if (cos.shape.length !== 2 || cos.shape[1] !== dims / 2) {
    throw shapeProblem('/rope/cos', `[positions, dims/2] = [positions, ${dims / 2}]`, cos);
  }
  expectShape('/rope/sin', sin, cos.shape, 'the shape of cos');
  return { cos: cos.data, sin: sin.data, rows: cos.shape[0] };
}

interface CheckedPositions {
  readonly batch: number;
  /** Whether positions were given without the axis of the batch. */
  readonly isBare: boolean;
  /** Positions of each sample that are used: the last of its row. */
  readonly count: number;
  /** Of cos and sin. */
  readonly rows: number;
}

function checkInTable(pointer: string, positions: Positions, checked: CheckedPositions): void {
  const { batch, isBare, count, rows } = checked;
  const check = (position: number, where: string) => {
    if (Number.isInteger(position) && position >= 0 && position < rows) return;
    throw problemAt(
      'invalid_option',
      where,
      `Expected whole positions from 0 to ${rows - 1}, the rows of cos and sin; got ${position}.`,
    );
  };
  if (positions.kind === 'from') {
    if (count === 0) return;
    check(positions.first, pointer.replace('positions', 'offset'));
    check(positions.first + count - 1, pointer.replace('positions', 'offset'));
    return;
  }
  const { table, batchStride } = positions;
  const skipped = batchStride - count;
  for (let sample = 0; sample < batch; sample++) {
    const row = isBare ? pointer : `${pointer}/${sample}`;
    for (let i = 0; i < count; i++) check(table[sample * batchStride + i], `${row}/${skipped + i}`);
  }
}
