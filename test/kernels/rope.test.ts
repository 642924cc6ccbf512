import { describe, expect, it } from 'vitest';
import type { HeadSource, Rope } from '../../src/domain/call.ts';
import { reference } from '../../src/kernels/reference/kernel.ts';
import { KERNELS } from '../../src/kernels/registry.ts';
import { rotateRow, rotateRowBack } from '../../src/kernels/rope.ts';
import { everything, makeCall } from '../support/calls.ts';
import { expectSameBits } from '../support/expect.ts';
import { run } from '../support/run.ts';

function rope(theta: number, dims: number, first: number, pairing: Rope['pairing'] = 'half'): Rope {
  const positions = { kind: 'from', first } as const;
  return { pairing, theta, dims, queryPositions: positions, keyPositions: positions, table: null };
}

/** [1, 0] of every pair at once is the cosine and the sine of its angle. */
function anglesOf(kind: Rope): number[][] {
  const pairs = kind.dims / 2;
  const row = new Float64Array(kind.dims).fill(1, 0, pairs);
  rotateRow(kind, 'query', 0, 0, row, 0);
  return Array.from({ length: pairs }, (_, pair) => [row[pair], row[pair + pairs]]);
}

function expected({ theta, dims }: Rope, position: number): number[][] {
  return Array.from({ length: dims / 2 }, (_, pair) => {
    const angle = position * theta ** ((-2 * pair) / dims);
    return [Math.cos(angle), Math.sin(angle)];
  });
}

describe('a rotation', () => {
  it('turns by the angles of its position and kind, whatever turned before', () => {
    // More positions than a thread keeps of one kind, some of which take the place of others, and more kinds.
    for (const position of [0, 1, 2 ** 20, 2 ** 20 + 1, 0, 1.5, 1, -3, 3, 2 ** 13, 2 ** 14, 2 ** 13, 7]) {
      for (const theta of [10000, 500000, 100]) {
        for (const dims of [64, 8]) {
          const kind = rope(theta, dims, position);
          expect(anglesOf(kind)).toEqual(expected(kind, position));
        }
      }
    }
  });

  it('keeps the angles of many positions apart', () => {
    for (let position = 0; position < 20000; position += 7) anglesOf(rope(10000, 64, position));
    for (let position = 0; position < 20000; position += 501) {
      const kind = rope(10000, 64, position);
      expect(anglesOf(kind)).toEqual(expected(kind, position));
    }
  });

  it('is undone by the rotation back, and says whether all is finite', () => {
    const kind = rope(10000, 4, 9, 'interleaved');
    const row = Float64Array.of(1, 2, 3, 4);
    expect(rotateRow(kind, 'key', 0, 5, row, 0)).toBe(true);
    expect(rotateRowBack(kind, 'key', 0, 5, row, 0)).toBe(true);
    row.forEach((x, at) => {
      expect(x).toBeCloseTo(at + 1, 12);
    });
    const large = Float32Array.of(3e38, 3e38, 1, 1);
    expect(rotateRow(rope(10000, 4, 100, 'interleaved'), 'key', 0, 1, large, 0)).toBe(false);
  });
});

const inFloat64 = (source: HeadSource): HeadSource => {
  if (source.kind !== 'given') throw new TypeError('Heads are given.');
  return { ...source, view: { ...source.view, data: Float64Array.from(source.view.data) } };
};

describe.each(KERNELS.filter(({ precision }) => precision !== 'float64'))(
  'rotated keys of $name',
  (kernel) => {
    it.each([
      ['half', 16, 'heads_first'],
      ['half', 10, 'rows_first'],
      ['interleaved', 16, 'rows_first'],
      ['interleaved', 6, 'heads_first'],
    ] as const)('are those of float64, rounded once: %s, %i of 16, %s', (pairing, dims, storage) => {
      const sizes = { batch: 2, heads: 4, kvHeads: 2, queries: 40, newKeys: 37, headSize: 16 };
      const call = everything(
        makeCall({ ...sizes, storage, precision: kernel.precision, rope: rope(10000, dims, 3, pairing) }),
      );
      const [query, key, value] = [call.query, call.key, call.value].map(inFloat64);
      const exact = run(reference, { ...call, precision: 'float64', query, key, value }).memory;
      expectSameBits(
        'present_key',
        run(kernel, call).memory.present_key,
        Float32Array.from(exact.present_key),
      );
    });
  },
);
