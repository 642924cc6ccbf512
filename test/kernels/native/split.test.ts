import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { nativeKernels } from '../../../src/kernels/native/kernel.ts';
import { reference } from '../../../src/kernels/reference/kernel.ts';
import { kernelFor } from '../../../src/kernels/registry.ts';
import { allWeights, type CallOptions, makeCall } from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { selfAttention } from '../../support/projections.ts';
import { seeded } from '../../support/random.ts';
import { resultsOf, run } from '../../support/run.ts';

/*
 * float32 by the tiles of AMX, which multiply bfloat16: each number is split into three. Other machines have no such
 * kernel, and nothing here to hold it to.
 */

const amx = nativeKernels.find(({ name }) => name === 'native-amx') as Kernel;
const plain = nativeKernels.find(({ name }) => name === 'native-avx512') as Kernel;

/** The raw logits q·k of numbers, each a query by itself, with a key of 1. */
function multiplied(numbers: readonly number[], by = 1): Float32Array {
  const call = makeCall({ precision: 'float32', queries: numbers.length, newKeys: 1, headSize: 1 });
  const given = (data: Float32Array) => ({
    kind: 'given' as const,
    shape: [1, 1, data.length, 1],
    view: { data, batchStride: 0, headStride: 0, rowStride: 1 },
  });
  const job = run(amx, {
    ...call,
    query: given(Float32Array.from(numbers)),
    key: given(Float32Array.of(by)),
    returns: { ...call.returns, logits: 'raw' },
  });
  return job.memory.logits as Float32Array;
}

const layer = (queries: number, width: number, headSize: number, options: CallOptions = {}) =>
  makeCall({
    precision: 'float32',
    queries,
    newKeys: queries,
    heads: width / headSize,
    headSize,
    projections: selfAttention(width, width),
    ...options,
  });

describe.skipIf(amx === undefined)('float32 by tiles of bfloat16', () => {
  it('loses no bit of a number, from the largest down to 2^-102', () => {
    const random = seeded(3);
    const numbers = [(2 - 2 ** -23) * 2 ** 127, (2 - 2 ** -7) * 2 ** 127, (2 - 2 ** -8) * 2 ** 127, 0, -0];
    for (let exponent = -102; exponent <= 127; exponent++) {
      for (let i = 0; i < 40; i++) {
        const bits = 1 + random.below(2 ** 23) / 2 ** 23;
        numbers.push(Math.fround((i % 2 === 0 ? 1 : -1) * bits * 2 ** exponent));
      }
    }
    const products = multiplied(numbers);
    numbers.forEach((number, at) => {
      // A sum that begins at zero has lost the sign of a zero.
      if (products[at] !== number) expect(products[at]).toBe(number);
    });
  });

  it('rounds a product of two numbers twice at the most', () => {
    const random = seeded(4);
    const numbers = Array.from({ length: 4000 }, () => Math.fround(random.uniform() + 1));
    for (const by of [Math.fround(Math.PI), Math.fround(1 / 3), 1 - 2 ** -24, 1 + 2 ** -23, 1 + 2 ** -8]) {
      multiplied(numbers, by).forEach((product, at) => {
        const error = Math.abs(product - numbers[at] * by) / (numbers[at] * by);
        if (!(error <= 2 ** -23)) expect(error).toBeLessThanOrEqual(2 ** -23);
      });
    }
  });

  it('is nearer to float64 than chains of multiply-adds are', () => {
    const callOf = (precision: 'float32' | 'float64') =>
      makeCall({ precision, queries: 96, newKeys: 512, heads: 2, headSize: 64 });
    const call = callOf('float32');
    const exact = run(reference, callOf('float64')).memory.output;
    const errorOf = (kernel: Kernel) => {
      const { output } = run(kernel, call).memory;
      let squares = 0;
      exact.forEach((value, at) => {
        squares += (output[at] - value) ** 2;
      });
      return Math.sqrt(squares);
    };
    expect(errorOf(amx)).toBeLessThan(errorOf(plain));
  });

  it('takes weights that another kernel has packed as they are', () => {
    const call = layer(70, 320, 32);
    const kept = plain.keepPacked!(run(plain, call));
    const [first, again] = [run(amx, call), run(amx, kept)];
    expect(Object.keys(again.memory).filter((name) => name.startsWith('packed.'))).toEqual([]);
    for (const [name, result] of Object.entries(resultsOf(first.memory)))
      expectSameBits(name, again.memory[name], result);
  });

  it('is for long sums of many rows, whatever is returned and however many samples there are', () => {
    const suited = (call: AttentionCall) => kernelFor(call) === amx;
    const [few, short, long] = [layer(16, 768, 64), layer(128, 64, 16), layer(128, 384, 32)];
    expect([few, short, long].map(suited)).toEqual([false, false, true]);
    const weights = allWeights(long.sizes);
    expect(suited({ ...long, returns: { ...long.returns, weights, logits: 'raw' } })).toBe(true);
    expect(suited(layer(16, 768, 64, { batch: 64 }))).toBe(false);
    // Nobody would have packed its weights for tiles.
    expect(suited(layer(128, 400, 40))).toBe(false);
    const given = (headSize: number) =>
      makeCall({ precision: 'float32', queries: 256, newKeys: 256, headSize });
    expect([given(64), given(16)].map(suited)).toEqual([true, false]);
    // Decoding reads keys where they lie.
    const decoding = makeCall({ precision: 'float32', queries: 1, newKeys: 4096, headSize: 64 });
    expect(suited(decoding)).toBe(false);
  });
});
