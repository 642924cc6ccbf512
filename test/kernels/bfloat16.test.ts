import { describe, expect, it } from 'vitest';
import { roundToBfloat16 } from '../../src/domain/bfloat16.ts';
import type { AttentionCall } from '../../src/domain/call.ts';
import { KERNELS, kernelFor } from '../../src/kernels/registry.ts';
import { computesGradients, everything, makeCall, range } from '../support/calls.ts';
import { expectSameBits, expectWithin } from '../support/expect.ts';
import { oracle } from '../support/oracle/oracle.ts';
import { resultsOf, run } from '../support/run.ts';
import { OPTION_SETS } from './contract/options.ts';

const kernels = KERNELS.filter(({ precision }) => precision === 'bfloat16');

/** The call with the numbers that become operands as they are rounded already. */
function withRoundedInputs(call: AttentionCall): AttentionCall {
  const rounded = <Data extends Float32Array | Float64Array>(data: Data) => data.map(roundToBfloat16) as Data;
  const source = (given: AttentionCall['query']): AttentionCall['query'] =>
    given.kind === 'given'
      ? { ...given, view: { ...given.view, data: rounded(given.view.data) } }
      : {
          kind: 'projected',
          linear: { ...given.linear, weight: rounded(given.linear.weight) },
          tokens: { ...given.tokens, data: rounded(given.tokens.data) },
        };
  return {
    ...call,
    query: source(call.query),
    key: source(call.key),
    value: source(call.value),
    past: call.past && {
      key: { ...call.past.key, data: rounded(call.past.key.data) },
      value: { ...call.past.value, data: rounded(call.past.value.data) },
    },
    extras: call.extras.map(({ key, value }) => ({ key: rounded(key), value: rounded(value) })),
    outputProjection: call.outputProjection && {
      ...call.outputProjection,
      weight: rounded(call.outputProjection.weight),
    },
  };
}

describe.each(kernels)('$name', (kernel) => {
  it('rounds its operands and nothing else: given rounded inputs, nothing changes, to the bit', () => {
    for (const [name, options] of Object.entries(OPTION_SETS)) {
      const call = makeCall(options('bfloat16'));
      // Given heads that are rotated become operands only then, and present ones are returned as they came.
      if (call.rope !== null) continue;
      const all = everything(call);
      const results = resultsOf(run(kernel, all).memory);
      const again = resultsOf(run(kernel, withRoundedInputs(all)).memory);
      for (const [result, values] of Object.entries(results))
        if (!result.startsWith('present_')) expectSameBits(`${result} with ${name}`, again[result], values);
    }
  });

  it('sums in float32 at least: logits of bfloat16 inputs are within the bounds of float32', () => {
    const call = withRoundedInputs(
      makeCall({ precision: 'bfloat16', queries: 40, newKeys: 150, headSize: 80 }),
    );
    const { masked } = oracle({ ...call, precision: 'float32' }).logits;
    expectWithin('logits', run(kernel, everything(call)).memory.logits, masked);
  });

  it('computes no gradients', () => {
    expect(computesGradients(kernel)).toBe(false);
  });
});

it('finds a kernel for every call, whatever the machine', () => {
  const call = makeCall({ precision: 'bfloat16' });
  expect(kernelFor(call).precision).toBe('bfloat16');
  const far = { ...call, visibility: { ...call.visibility, causal: true, offsets: [2 ** 25] } };
  expect(kernelFor(far).name).toBe('portable-bfloat16');
});

it('keeps logits and outputs within the bounds that ARCHITECTURE.md derives', () => {
  const [queries, keys, size] = [60, 200, 64];
  const call = makeCall({ precision: 'bfloat16', queries, newKeys: keys, headSize: size });
  const exact = oracle({ ...call, precision: 'float64' });
  const magnitudes = oracle({ ...absolute(call), precision: 'float64' }).logits.raw.value;
  const raw = { ...call, returns: { ...call.returns, logits: 'raw' } } as const;
  const pair = 2 ** -7 + 2 ** -16;
  // What sums of this length add in float32.
  const float32 = 2 * keys * 2 ** -24;
  for (const kernel of kernels) {
    const { logits, output } = run(kernel, raw).memory;
    let worst = 0;
    logits.forEach((logit, at) => {
      worst = Math.max(worst, Math.abs(logit - exact.logits.raw.value[at]) / magnitudes[at]);
    });
    expect(worst).toBeLessThanOrEqual(pair + float32);
    // Errors of both signs cancel, so the bound is far; and yet the operands were rounded.
    expect(worst).toBeGreaterThan(2 ** -14);

    for (let i = 0; i < queries; i++) {
      const row = range(keys).map((j) => i * keys + j);
      const delta = (pair + float32) * call.score.scale * Math.max(...row.map((at) => magnitudes[at]));
      const growth = pair + float32 + Math.expm1(2 * delta);
      for (let c = 0; c < size; c++) {
        const spread = row.reduce(
          (sum, at, j) => sum + exact.weights.value[at] * Math.abs(exact.value.value[j * size + c]),
          0,
        );
        const error = Math.abs(output[i * size + c] - exact.output.value[i * size + c]);
        expect(error).toBeLessThanOrEqual(growth * spread);
      }
    }
  }
});

function absolute(call: AttentionCall): AttentionCall {
  const source = (given: AttentionCall['query']): AttentionCall['query'] => {
    if (given.kind !== 'given') throw new TypeError('given heads expected');
    return { ...given, view: { ...given.view, data: given.view.data.map(Math.abs) } };
  };
  return { ...call, query: source(call.query), key: source(call.key) };
}
