import { expect, it } from 'vitest';
import { kernelFor } from '../../src/kernels/registry.ts';
import { makeCall, real } from '../support/calls.ts';
import { run } from '../support/run.ts';

/** One query and two keys of size 1, of which the second is 0. */
function callOf(size: number, scale: number) {
  const call = makeCall({ precision: 'float32', queries: 1, newKeys: 2, headSize: 1, score: { scale } });
  const withData = (role: 'query' | 'key', numbers: number[]) => {
    const source = call[role];
    if (source.kind !== 'given') throw new TypeError('given heads expected');
    return { ...source, view: { ...source.view, data: real('float32', numbers) } };
  };
  return { ...call, query: withData('query', [size]), key: withData('key', [size, 0]) };
}

it.each([
  [1e30, 1e-60],
  [1e22, 1e-44],
  [1e-30, 1e60],
  [1e-20, -1e40],
])('a product of %d squared is scaled by %d, which float32 does not hold', (size, scale) => {
  const call = {
    ...callOf(size, scale),
    returns: { ...callOf(size, scale).returns, logits: 'scaled' as const },
  };
  const kernel = kernelFor(call);
  expect(kernel.precision).toBe('float32');
  expect(run(kernel, call).memory.logits[0]).toBeCloseTo(size * size * scale, 4);
});

it.each([0, 1, -1e30, 2 ** -126])('a scale of %d is for any kernel', (scale) => {
  expect(kernelFor(callOf(1, scale)).name).toBe(kernelFor(callOf(1, 1)).name);
});
