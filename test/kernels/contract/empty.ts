import { expect, it } from 'vitest';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { computesGradients, everything, makeCall, withGradients } from '../../support/calls.ts';
import { selfAttention } from '../../support/projections.ts';
import { run } from '../../support/run.ts';

const LENGTHS = [
  { queries: 0, newKeys: 4 },
  { queries: 3, newKeys: 0 },
  { queries: 0, newKeys: 0 },
] as const;
const LAYER = selfAttention(12, 6);
const CROSS = { ...LAYER, contextWidth: 10 };

/** Sequences without tokens are computed like others: what is left is nothing, or zeros. */
export function empty(kernel: Kernel): void {
  const { precision } = kernel;

  const kinds = [
    ...LENGTHS.map((lengths) => ({ what: 'given heads', ...lengths })),
    ...LENGTHS.map((lengths) => ({ what: 'a layer', ...lengths, projections: CROSS })),
    { what: 'many samples of a layer', batch: 40, queries: 0, newKeys: 0, projections: LAYER },
  ];
  it.each(kinds)('computes $what, $queries queries and $newKeys keys', ({ what: _, ...options }) => {
    const call = makeCall({ precision, heads: 2, ...options });
    for (const asked of [call, everything(call)]) {
      const { plan, memory } = run(kernel, asked);
      for (const { tiles, flopsPerTile } of plan.stages)
        expect(tiles * flopsPerTile).toBeGreaterThanOrEqual(0);
      // The output of a layer is its bias where nothing is seen.
      if (call.outputProjection === null) expect(Array.from(memory.output).every((x) => x === 0)).toBe(true);
      expect(Array.from(memory.output).every(Number.isFinite)).toBe(true);
    }
  });

  if (!computesGradients(kernel)) return;
  it.each(LENGTHS)('differentiates $queries queries and $newKeys keys', (lengths) => {
    const { plan, memory } = run(kernel, withGradients(makeCall({ precision, heads: 2, ...lengths })));
    for (const { tiles, flopsPerTile } of plan.stages) expect(tiles * flopsPerTile).toBeGreaterThanOrEqual(0);
    for (const name of ['grad_query', 'grad_key', 'grad_value']) {
      expect(Array.from(memory[name]).every((x) => x === 0)).toBe(true);
    }
  });
}
