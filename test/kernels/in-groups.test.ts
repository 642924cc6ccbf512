import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../src/domain/call.ts';
import { inGroups } from '../../src/kernels/in-groups.ts';
import type { Kernel } from '../../src/kernels/kernel.ts';
import { planBytes } from '../../src/kernels/memory.ts';
import { KERNELS, kernelNamed } from '../../src/kernels/registry.ts';
import { cancel, emptyRows } from '../../src/kernels/status.ts';
import { everything, makeCall } from '../support/calls.ts';
import { expectSameBits } from '../support/expect.ts';
import { selfAttention } from '../support/projections.ts';
import { newJob, resultsOf, run, runAll } from '../support/run.ts';

const BATCH = 5;
const precision = 'float32';
const kernels = KERNELS.filter((kernel) => kernel.precision === precision);

/** Five samples that all see something else, and return all there is. */
function fiveSamples(): AttentionCall {
  const projections = selfAttention(24, 10);
  const call = makeCall({ precision, batch: BATCH, queries: 40, heads: 3, headSize: 8, projections });
  const visibility = { ...call.visibility, keyLengths: [40, 3, 17, 1, 33] };
  return everything({ ...call, visibility });
}

/** Groups of up to two samples, since no workspace fits into no cache and each sample has half of the queries asked for. */
const inPairs = (kernel: Kernel) => inGroups(kernel, { rows: 80, cacheBytes: 0 });

// The contract has every option in groups of one sample.
describe.each(kernels.map((kernel) => [kernel.name, kernel] as const))('%s in groups', (_name, kernel) => {
  it('computes what it computes of all samples at once, to the bit, tile by tile and in one go', () => {
    const expected = resultsOf(run(kernel, fiveSamples()).memory);
    const grouped = inPairs(kernel);
    for (const job of [run(grouped, fiveSamples()), runAll(grouped, fiveSamples())]) {
      expect(job.plan.groups).toHaveLength(3);
      for (const [name, values] of Object.entries(expected)) expectSameBits(name, job.memory[name], values);
    }
  });

  it('computes one group after the other where it is asked for them', () => {
    const expected = resultsOf(run(kernel, fiveSamples()).memory);
    const grouped = inPairs(kernel);
    const job = newJob(grouped, fiveSamples());
    for (const group of job.plan.groups!.keys()) grouped.runAll(job, 0, group);
    for (const [name, values] of Object.entries(expected)) expectSameBits(name, job.memory[name], values);
  });

  it('counts rows without a key over the whole batch', () => {
    const call = fiveSamples();
    const blind = { ...call, visibility: { ...call.visibility, keyLengths: [40, 40, 40, 0, 0] } };
    const { heads, queries } = call.sizes;
    const { status } = runAll(inPairs(kernel), blind);
    expect(emptyRows(status)).toEqual({ count: 2 * heads * queries, first: 3 * heads * queries });
  });

  it('does not begin a group of a job that is cancelled', () => {
    const grouped = inPairs(kernel);
    const job = newJob(grouped, fiveSamples());
    cancel(job.status);
    grouped.runAll(job);
    expect(job.memory.output.every(Number.isNaN)).toBe(true);
  });
});

describe('groups', () => {
  // By itself it takes all samples at once, and as much memory on every machine.
  const ungrouped = kernelNamed('portable');
  const kernel = inGroups(ungrouped, { rows: 128, cacheBytes: 2 * 2 ** 20 });
  const batchOf = (batch: number, queries: number) =>
    makeCall({ precision, batch, queries, heads: 12, headSize: 64, projections: selfAttention(768, 768) });

  it('are not made of a batch whose workspace stays in the caches', () => {
    expect(kernel.plan(batchOf(8, 8)).groups).toBeUndefined();
  });

  it('are made of a larger one, which takes no more workspace for that', () => {
    const bytesOf = (batch: number) => planBytes(kernel.plan(batchOf(batch, 128)));
    expect(kernel.plan(batchOf(8, 128)).groups!.length).toBeGreaterThan(3);
    const outputAndStatistics = 128 * (4 * 768 + 16 * 12);
    expect(bytesOf(12) - bytesOf(8)).toBe(4 * outputAndStatistics);
  });

  it('have so many queries that a weight is worth reading', () => {
    const { groups } = inGroups(ungrouped, { rows: 130, cacheBytes: 0 }).plan(batchOf(20, 13));
    expect(groups).toHaveLength(2);
  });
});
