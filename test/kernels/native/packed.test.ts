import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { KERNELS } from '../../../src/kernels/registry.ts';
import { everything, makeCall } from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { resultsOf, run } from '../../support/run.ts';

const packing = KERNELS.filter((kernel) => kernel.keepPacked !== undefined);

/** Without a compiler no kernel packs, and there is nothing to keep. */
describe.skipIf(packing.length === 0)('packed weights', () => {
  const projections = {
    width: 40,
    contextWidth: 40,
    layout: 'out_in',
    packed: null,
    bias: true,
    outputWidth: 50,
  } as const;
  const sizes = { batch: 2, queries: 37, newKeys: 37, heads: 4, kvHeads: 2, headSize: 10 };
  const callOf = ({ precision }: Kernel) => everything(makeCall({ precision, ...sizes, projections }));

  it.each(packing)('are kept by $name from one job to the next, with the same bits', (kernel) => {
    const first = run(kernel, callOf(kernel));
    const kept = kernel.keepPacked!(first);
    const again = run(kernel, kept);
    expect(Object.keys(first.memory)).toContain('packed.query');
    expect(Object.keys(again.memory).filter((name) => name.startsWith('packed.'))).toEqual([]);
    for (const [name, result] of Object.entries(resultsOf(first.memory))) {
      expectSameBits(name, again.memory[name], result);
    }
  });

  it.each(packing)('of another kernel are not taken by $name', (kernel) => {
    const call = callOf(kernel);
    const kept = kernel.keepPacked!(run(kernel, call));
    const isOther = (candidate: Kernel) => candidate !== kernel && candidate.precision === kernel.precision;
    for (const other of packing.filter(isOther)) {
      const { memory } = run(other, kept);
      expectSameBits('output', memory.output, run(other, call).memory.output);
    }
  });
});
