import { describe, expect, it } from 'vitest';
import { kernelFor } from '../../src/kernels/registry.ts';
import { type CallOptions, everything, makeCall, real, withGradients } from '../support/calls.ts';
import { run } from '../support/run.ts';

/** One query and two keys of size 1, of which the second is 0. */
function callOf(
  size: number,
  score: NonNullable<CallOptions['score']>,
  precision: 'float32' | 'bfloat16' = 'float32',
) {
  const call = makeCall({ precision, queries: 1, newKeys: 2, headSize: 1, score });
  const withData = (role: 'query' | 'key', numbers: number[]) => {
    const source = call[role];
    if (source.kind !== 'given') throw new TypeError('given heads expected');
    return { ...source, view: { ...source.view, data: real(precision, numbers) } };
  };
  return everything({ ...call, query: withData('query', [size]), key: withData('key', [size, 0]) });
}

const usual = kernelFor(callOf(1, { scale: 1 }));

describe('numbers that float32 does not hold are for a kernel that sums in float64', () => {
  it.each([
    [1e30, 1e-60],
    [1e22, 1e-44],
    [1e-30, 1e60],
    [1e-20, -1e40],
  ])('%d squared, scaled by %d', (size, scale) => {
    const call = callOf(size, { scale });
    const { weights } = run(kernelFor(call), call).memory;
    expect(weights[0]).toBeCloseTo(1 / (1 + Math.exp(-size * size * scale)), 4);
  });

  it.each([5e-324, 1e-50, 1e-39, 1e39, 1e300])('a softcap of %d', (softcap) => {
    for (const precision of ['float32', 'bfloat16'] as const) {
      const call = callOf(1, { scale: 1, softcap }, precision);
      const { weights } = run(kernelFor(call), call).memory;
      expect(weights[0], precision).toBeCloseTo(1 / (1 + Math.exp(-softcap * Math.tanh(1 / softcap))), 4);
    }
  });

  it('in gradients too', () => {
    const call = withGradients(callOf(1e22, { scale: 1e-44 }));
    expect(kernelFor(call).name).toBe('portable');
    expect(kernelFor(withGradients(callOf(1, { softcap: 1e-50 }))).name).toBe('portable');
  });
});

it.each([{ scale: 0 }, { scale: -1e30 }, { scale: 2 ** -126 }, { softcap: 2 ** -126 }, { softcap: 3e38 }])(
  '%o is for the fastest kernel',
  (score) => {
    expect(kernelFor(callOf(1, score)).name).toBe(usual.name);
  },
);
