import { expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Job, Kernel } from '../../../src/kernels/kernel.ts';
import { cancel, createStatus } from '../../../src/kernels/status.ts';
import {
  type CallOptions,
  causal,
  computesGradients,
  everything,
  makeCall,
  randomMask,
  range,
  real,
  withGradients,
} from '../../support/calls.ts';
import { expectSameBits, expectWithin } from '../../support/expect.ts';
import { oracle } from '../../support/oracle/oracle.ts';
import { seeded, shuffled } from '../../support/random.ts';
import { outputRows, poisoned, REVERSED, resultsOf, run, runAll } from '../../support/run.ts';
import { prefixOf, reordered, sampleOf } from '../../support/slices.ts';
import { OPTION_SETS } from './options.ts';

const LENGTHS = [1, 2, 31, 32, 33, 63, 64, 65, 100, 128, 129];

/** What may be done to a call without moving its results, most of it to the bit. */
export function invariances(kernel: Kernel): void {
  const { precision } = kernel;

  it('does not mind the order of keys with their values', () => {
    const call = makeCall({ precision, batch: 2, heads: 4, kvHeads: 2, queries: 9, newKeys: 150 });
    const order = shuffled(150, seeded(1));
    const moved = { ...call, key: reordered(call.key, order), value: reordered(call.value, order) };
    expectWithin('output', outputRows(run(kernel, moved)), oracle(call).output);
  });

  it('moves outputs with their queries, to the bit', () => {
    const call = makeCall({ precision, batch: 2, heads: 3, queries: 70, newKeys: 90 });
    const order = shuffled(70, seeded(2));
    const moved = run(kernel, { ...call, query: reordered(call.query, order) });
    const output = {
      kind: 'given',
      view: { ...call.results.output.strides, data: run(kernel, call).memory.output },
    };
    const expected = reordered(output as AttentionCall['query'], order);
    if (expected.kind === 'given') expectSameBits('output', moved.memory.output, expected.view.data);
  });

  const causalCalls: Record<string, CallOptions> = {
    'a causal call': { visibility: causal(1) },
    'a causal window': { visibility: { ...causal(1), windowLeft: 20 } },
    'a causal call with everything': {
      visibility: causal(1),
      score: { softcap: 3, alibiSlopes: real(precision, [0.5, 0.1]), sinks: real(precision, [1, -1]) },
      rope: {
        pairing: 'half',
        theta: 10000,
        dims: 8,
        queryPositions: { kind: 'from', first: 5 },
        keyPositions: { kind: 'from', first: 5 },
        table: null,
      },
      projections: {
        width: 12,
        contextWidth: null,
        layout: 'out_in',
        packed: 'qkv',
        bias: true,
        outputWidth: 7,
      },
    },
  };
  for (const [name, options] of Object.entries(causalCalls)) {
    it(`keeps the first rows of ${name} when tokens follow, to the bit`, () => {
      const call = makeCall({
        precision,
        queries: 140,
        heads: 2,
        headSize: 8,
        storage: 'rows_first',
        ...options,
      });
      const whole = run(kernel, call).memory.output;
      for (const length of LENGTHS) {
        const start = run(kernel, prefixOf(call, length)).memory.output;
        expectSameBits(`the first ${length} rows`, start, whole.subarray(0, start.length));
      }
    });
  }

  it.each(Object.entries(OPTION_SETS))(
    'computes a sample of a batch as it would alone, to the bit, with %s',
    (_name, options) => {
      const call = everything(makeCall(options(precision)));
      const whole = run(kernel, call).memory;
      for (const sample of range(call.sizes.batch)) {
        const alone = run(kernel, sampleOf(call, sample)).memory;
        for (const result of ['output', 'weights', 'logits', 'log_sum_exp', 'present_key', 'present_value']) {
          const { length } = alone[result];
          expectSameBits(
            result,
            alone[result],
            whole[result].subarray(sample * length, (sample + 1) * length),
          );
        }
      }
    },
  );

  it('does not mind the order of tiles, to the bit', () => {
    const sizes = { batch: 2, queries: 100, newKeys: 130, heads: 4, kvHeads: 2, headSize: 8 };
    const forbid = randomMask(makeCall(sizes).sizes, seeded(3), 0.3);
    const projections = {
      width: 20,
      contextWidth: 10,
      layout: 'in_out',
      packed: null,
      bias: true,
      outputWidth: 70,
    } as const;
    const call = everything(makeCall({ ...sizes, precision, projections, visibility: { forbid } }));
    const inOrder = run(kernel, call);
    expect(Math.max(...inOrder.plan.stages.map((stage) => stage.tiles))).toBeGreaterThan(8);
    const orders = [REVERSED, ...[4, 5].map((seed) => (tiles: number) => shuffled(tiles, seeded(seed)))];
    for (const order of orders) {
      const other = run(kernel, call, order);
      for (const [name, result] of Object.entries(resultsOf(inOrder.memory)))
        expectSameBits(name, other.memory[name], result);
    }
  });

  it.each(Object.entries(OPTION_SETS))(
    'computes in one go, with helpers or alone, what it computes tile by tile, to the bit, with %s',
    (_name, options) => {
      const call = everything(makeCall(options(precision)));
      const differentiated = call.operation === 'scaled_dot_product_attention' && computesGradients(kernel);
      for (const asked of differentiated ? [call, withGradients(call)] : [call]) {
        const byTiles = run(kernel, asked);
        for (const helpers of [0, 1, 3]) {
          const whole = runAll(kernel, asked, helpers);
          for (const [name, result] of Object.entries(resultsOf(byTiles.memory)))
            expectSameBits(name, whole.memory[name], result);
          expect(whole.status).toEqual(byTiles.status);
        }
      }
    },
  );

  it.runIf(computesGradients(kernel))(
    'computes gradients of so many keys that they take hundreds of stages in one go, to the bit',
    () => {
      const call = withGradients(makeCall({ precision, queries: 3, newKeys: 70_000, headSize: 4 }));
      const byTiles = run(kernel, call);
      for (const helpers of [0, 2]) {
        const { memory } = runAll(kernel, call, helpers);
        for (const [name, result] of Object.entries(resultsOf(byTiles.memory)))
          expectSameBits(name, memory[name], result);
      }
    },
  );

  it('computes nothing more of a job in one go once it is cancelled', () => {
    const call = makeCall({ precision, queries: 40, heads: 4 });
    const plan = kernel.plan(call);
    const job: Job = { call, plan, memory: poisoned(plan), status: createStatus() };
    cancel(job.status);
    for (const helpers of [0, 2]) kernel.runAll(job, helpers);
    expect(job.memory.output.every(Number.isNaN)).toBe(true);
  });

  it('does not mind how heads lie in memory, to the bit', () => {
    const options: CallOptions = {
      precision,
      batch: 2,
      queries: 40,
      newKeys: 70,
      past: 3,
      heads: 4,
      kvHeads: 2,
    };
    const [one, other] = (['heads_first', 'rows_first'] as const).map((storage) =>
      outputRows(run(kernel, makeCall({ ...options, storage }))),
    );
    expectSameBits('output', one, other);
  });

  it('does not mind how projections are stored, to the bit', () => {
    const stored = (layout: 'in_out' | 'out_in', packed: 'qkv' | 'per_head' | 'per_kv_group' | null) => {
      const projections = { width: 20, contextWidth: null, layout, packed, bias: true, outputWidth: 9 };
      return run(kernel, makeCall({ precision, batch: 2, queries: 40, heads: 4, projections })).memory.output;
    };
    const expected = stored('in_out', null);
    for (const layout of ['in_out', 'out_in'] as const)
      for (const packed of [null, 'qkv', 'per_head', 'per_kv_group'] as const)
        expectSameBits(`output with ${layout}, ${packed}`, stored(layout, packed), expected);
  });
}
