import { describe, expect, it } from 'vitest';
import { wasmKernels } from '../../../src/kernels/wasm/kernel.ts';
import { allWeights, makeCall, real } from '../../support/calls.ts';
import { run } from '../../support/run.ts';

const ROUNDOFF = 2 ** -24;

/** Numbers spread over a range, of many sizes near zero too. */
function numbers(from: number, to: number): Float32Array {
  const count = 4001;
  const even = Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
  return Float32Array.from([...even, ...even.map((x) => x * 2 ** -12)]);
}

/** One query for each number x; the logits of the two keys are x and 0. */
function callWith(xs: Float32Array) {
  const call = makeCall({
    precision: 'float32',
    queries: xs.length,
    newKeys: 2,
    headSize: 1,
    score: { scale: 1 },
  });
  const given = (data: Float32Array) => ({
    batchStride: data.length,
    headStride: data.length,
    rowStride: 1,
    data,
  });
  return {
    ...call,
    query: { ...call.query, kind: 'given', view: given(xs), shape: [] },
    key: { ...call.key, kind: 'given', view: given(real('float32', [1, 0]) as Float32Array), shape: [] },
  } as const;
}

describe.each(wasmKernels.map((kernel) => [kernel.name, kernel] as const))('%s', (_name, kernel) => {
  it('has an exponential within its bound', () => {
    const xs = numbers(-87.3, 0);
    const call = callWith(xs);
    const weights = allWeights(call.sizes);
    const { memory } = run(kernel, { ...call, returns: { ...call.returns, weights } });
    xs.forEach((x, i) => {
      const ratio = memory.weights[2 * i] / memory.weights[2 * i + 1];
      // The bound of the exponential, two units of its last place, and a rounding of each weight.
      const bound = (1.3 * Math.abs(x) + 4 + 2) * ROUNDOFF;
      expect(Math.abs(ratio / Math.exp(x) - 1), `e^${x}`).toBeLessThanOrEqual(bound);
    });
  });

  it('has an exponential of 0 below the normal numbers, and of 1 at 0', () => {
    const call = callWith(real('float32', [-87.4, -88, -100, -1e30, 0]) as Float32Array);
    const weights = allWeights(call.sizes);
    const { memory } = run(kernel, { ...call, returns: { ...call.returns, weights } });
    expect(Array.from(memory.weights)).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0.5, 0.5]);
  });

  it('has a hyperbolic tangent within its bound', () => {
    const xs = numbers(-12, 12);
    const call = callWith(xs);
    const score = { ...call.score, softcap: 1 };
    const { memory } = run(kernel, { ...call, score, returns: { ...call.returns, logits: 'capped' } });
    xs.forEach((x, i) => {
      const error = Math.abs(memory.logits[2 * i] - Math.tanh(x));
      expect(error, `tanh ${x}`).toBeLessThanOrEqual(8 * ROUNDOFF * Math.abs(Math.tanh(x)));
    });
  });
});
