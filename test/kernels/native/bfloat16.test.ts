import { describe, expect, it } from 'vitest';
import { roundToBfloat16 } from '../../../src/domain/bfloat16.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { nativeKernels } from '../../../src/kernels/native/kernel.ts';
import { overflowed } from '../../../src/kernels/status.ts';
import { dotOfGroups } from '../../support/bfloat16.ts';
import { everything, makeCall } from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { type Random, seeded } from '../../support/random.ts';
import { resultsOf, run } from '../../support/run.ts';
import { OPTION_SETS } from '../contract/options.ts';

/*
 * bfloat16 products to the bit: those of the instructions, where this machine has them, and of every emulation are those
 * of the plain TypeScript in test/support. Raw logits are the products themselves. Without a compiler there are none.
 */

const kernels = nativeKernels.filter(({ precision }) => precision === 'bfloat16');
const QUERIES = 37;
const KEYS = 70;
const SIZES = [1, 2, 3, 8, 33, 64, 80, 290];

/** Exponents of queries and keys: where products are plain, where they and their sums underflow, and far apart. */
const EXPONENTS: Readonly<Record<string, (random: Random) => readonly [number, number]>> = {
  'of one size': () => [0, 0],
  'of many sizes': (random) => [random.below(24) - 12, random.below(24) - 12],
  'around the smallest normal product': (random) => [random.below(5) - 65, random.below(5) - 65],
  'around the smallest normal sum': (random) => [random.below(14) - 70, random.below(14) - 70],
  'of subnormal numbers': (random) => [random.below(12) - 132, random.below(60)],
  'as far apart as they may be': (random) => [random.below(120) - 120, random.below(120) - 60],
};

/** Random bits, many of them ties, zeros of both signs, and numbers that cancel. */
function operand(random: Random, exponent: number): number {
  const kind = random.below(10);
  const sign = random.below(2) === 0 ? 1 : -1;
  if (kind === 0) return sign * 0;
  if (kind === 1) return Math.fround(sign * 2 ** exponent);
  // A tie between two numbers of 8 bits.
  if (kind <= 3) return Math.fround(sign * (1 + (2 * random.below(128) + 1) / 256) * 2 ** exponent);
  return Math.fround(sign * (1 + random.uniform()) * 2 ** exponent);
}

function logitsOf(kernel: Kernel, queries: Float32Array, keys: Float32Array, size: number): Float32Array {
  const plain = makeCall({ precision: 'bfloat16', queries: QUERIES, newKeys: KEYS, headSize: size });
  const given = (data: Float32Array, rows: number) => ({
    kind: 'given' as const,
    shape: [1, 1, rows, size],
    view: { data, batchStride: 0, headStride: 0, rowStride: size },
  });
  const job = run(kernel, {
    ...plain,
    query: given(queries, QUERIES),
    key: given(keys, KEYS),
    returns: { ...plain.returns, logits: 'raw' },
  });
  return job.memory.logits as Float32Array;
}

function productsOf(queries: Float32Array, keys: Float32Array, size: number): Float32Array {
  const rows = (data: Float32Array, count: number) =>
    Array.from({ length: count }, (_, row) =>
      Array.from(data.subarray(row * size, (row + 1) * size), roundToBfloat16),
    );
  const keyRows = rows(keys, KEYS);
  return Float32Array.from(
    rows(queries, QUERIES).flatMap((query) => keyRows.map((key) => dotOfGroups(query, key))),
  );
}

/** What all but the products is computed with: AVX-512 for those with instructions for bfloat16. */
function setOf({ name }: Kernel): string {
  return ['avx2', 'neon'].find((set) => name.includes(set)) ?? 'avx512';
}

describe.skipIf(kernels.length === 0)('products of bfloat16', () => {
  describe.each(kernels)('$name', (kernel) => {
    it.each(Object.keys(EXPONENTS))(
      'are two chains of multiply-adds a group, to the bit, for operands %s',
      (name) => {
        let subnormal = 0;
        for (const size of SIZES) {
          const random = seeded(size);
          const [queries, keys] = [new Float32Array(QUERIES * size), new Float32Array(KEYS * size)];
          queries.forEach((_, at) => {
            queries[at] = operand(random, EXPONENTS[name](random)[0]);
          });
          keys.forEach((_, at) => {
            keys[at] = operand(random, EXPONENTS[name](random)[1]);
          });
          const expected = productsOf(queries, keys, size);
          expectSameBits(`products of ${size}`, logitsOf(kernel, queries, keys, size), expected);
          subnormal += expected.filter((x) => x !== 0 && Math.abs(x) < 2 ** -126).length;
        }
        expect(subnormal).toBe(0);
      },
    );

    // 2^-126 less a little, by a second product: rounded to 24 bits it is 2^-126 again, or it is 0.
    it.each([
      [1, 2 ** -126],
      [1.25, 0],
      [1.5, 0],
      [2, 0],
      [3, 0],
    ])('decide what underflows after rounding: 2^-126 less %d·2^-151', (part, expected) => {
      for (const sign of [1, -1]) {
        const [queries, keys] = [new Float32Array(QUERIES * 4), new Float32Array(KEYS * 4)];
        for (let row = 0; row < QUERIES; row++)
          queries.set([sign * 2 ** -60, 0, -sign * part * 2 ** -75, 0], row * 4);
        for (let row = 0; row < KEYS; row++) keys.set([2 ** -66, 0, 2 ** -76, 0], row * 4);
        const logits = logitsOf(kernel, queries, keys, 4);
        // The zeros that fill the group come after it, so a zero loses its sign.
        expect(logits[0]).toBe(expected === 0 ? 0 : sign * expected);
        expectSameBits('all of them', logits, productsOf(queries, keys, 4));
      }
    });
  });

  it.each(Object.entries(OPTION_SETS))(
    'are the same to the bit in every kernel, with %s',
    (_name, options) => {
      const call = everything(makeCall(options('bfloat16')));
      const [first, ...others] = kernels.map((kernel) => ({ kernel, memory: run(kernel, call).memory }));
      for (const { kernel, memory } of others)
        for (const [name, result] of Object.entries(resultsOf(first.memory))) {
          // Exponentials below the normal range are those of the instruction set, and weights are returned in float32.
          if (name === 'weights' && setOf(kernel) !== setOf(first.kernel)) continue;
          expectSameBits(name, memory[name], result);
        }
    },
  );

  it.each(kernels.flatMap((kernel) => [40, 2].map((queries) => ({ kernel, name: kernel.name, queries }))))(
    'of $name report numbers that are infinite as bfloat16, where any of $queries queries sees them',
    ({ kernel, queries }) => {
      const largest = (2 - 2 ** -7) * 2 ** 127;
      const beyond = (2 - 2 ** -8) * 2 ** 127;
      for (const role of ['query', 'key', 'value'] as const) {
        const call = makeCall({ precision: 'bfloat16', queries, newKeys: 50, score: { scale: 1e-38 } });
        const source = call[role];
        if (source.kind !== 'given') throw new TypeError('given heads expected');
        const reports = (x: number, hidden: boolean) => {
          const data = source.view.data.map((y) => y * 2 ** -30);
          data[(role === 'query' ? 1 : 20) * 8 + 3] = x;
          const keyValid = new Uint8Array(50).map((_, key) => (hidden && key === 20 ? 0 : 1));
          const visibility = { ...call.visibility, keyValid };
          const loud = { ...call, visibility, [role]: { ...source, view: { ...source.view, data } } };
          return overflowed(run(kernel, loud).status);
        };
        expect(reports(Math.fround(beyond), false)).toBe(true);
        if (role !== 'query') expect(reports(Math.fround(beyond), true)).toBe(false);
        if (role === 'value') expect(reports(largest, false)).toBe(false);
      }
    },
  );
});
