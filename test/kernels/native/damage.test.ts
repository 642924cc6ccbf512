import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { allocate } from '../../../src/kernels/memory.ts';
import { type Addon, loadAddon, type OpenedCall } from '../../../src/kernels/native/addon.ts';
import type { Description } from '../../../src/kernels/native/description.ts';
import { nativeKernels } from '../../../src/kernels/native/kernel.ts';
import { createStatus } from '../../../src/kernels/status.ts';
import { allWeights, everything, makeCall, withGradients } from '../../support/calls.ts';
import { describedFor } from '../../support/native-jobs.ts';
import { selfAttention } from '../../support/projections.ts';
import { type Random, seeded } from '../../support/random.ts';
import { OPTION_SETS } from '../contract/options.ts';

/*
 * Damaged jobs against the addon: whatever it is told, it reads and writes nothing but the arrays it was given. Under
 * the sanitizers (.ci/sanitize) a step outside of them ends the process; without them this says less.
 */

const loaded = loadAddon();
/** At least this many damaged jobs for each kernel, and more until its share of this many seconds has passed. */
const ROUNDS = 500;
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 0) / nativeKernels.length;
/** Now and then the reports of the test get a turn. */
const ROUNDS_A_TURN = 500;

/** Calls with every option and everything returned, and their gradients where the kernel makes any. */
function soundJobs(addon: Addon, kernel: Kernel): Description[] {
  const calls = Object.values(OPTION_SETS).map((options) => makeCall(options(kernel.precision)));
  const given = calls.filter(({ operation }) => operation === 'scaled_dot_product_attention');
  const topK = (call: AttentionCall) => {
    const whole = everything(call);
    const weights = { ...whole.returns.weights!, reduce: 'mean', topK: 3 } as const;
    return { ...whole, returns: { ...whole.returns, weights } };
  };
  const projections = selfAttention(12, 6);
  const { precision } = kernel;
  // Whose heads go to panels, which maps are made of on the way or afterwards, or from the tokens to attention.
  const layers = [32, 48].flatMap((queries) => {
    const call = makeCall({ precision, batch: 2, queries, heads: 3, headSize: 20, projections });
    const weights = allWeights(call.sizes);
    const returning = [null, weights, { ...weights, reduce: 'mean' } as const];
    return returning.map((asked) => ({ ...call, returns: { ...call.returns, weights: asked } }));
  });
  // Whose samples share panels.
  const short = [1, 3].map((queries) =>
    makeCall({ precision, batch: 40, queries, heads: 3, headSize: 20, projections }),
  );
  return [
    ...layers,
    ...layers,
    ...short,
    ...short,
    ...calls.map(everything),
    ...calls.map(topK),
    ...given.map(withGradients).filter((call) => kernel.supports?.(call) !== false),
  ].map((call) => {
    const plan = kernel.plan(call);
    const job = { call, plan, memory: allocate(plan), status: createStatus() };
    const { numbers, arrays } = describedFor(addon, kernel.name.replace('native-', ''), job);
    return { numbers: numbers.slice(), arrays };
  });
}

const pick = <T>(values: readonly T[], random: Random): T => values[random.below(values.length)];

const NUMBERS = [0, 1, 2, 3, 7, 64, 4096, -1, 0.5, 2 ** 31, 2 ** 40, 2 ** 53, -(2 ** 53), NaN, Infinity];
const VALUES = [
  null,
  undefined,
  {},
  'text',
  new Float32Array(0),
  new Float32Array(64),
  new Int32Array(3),
  new Uint8Array(8),
];

/** The description with one to three things in it that are something else. */
function damaged({ numbers, arrays }: Description, random: Random): Description {
  const wrong = { numbers: numbers.slice(), arrays: [...arrays] as unknown[] };
  for (let damages = 1 + random.below(3); damages > 0; damages--) {
    const number = random.below(numbers.length);
    const array = random.below(arrays.length);
    const given = arrays[array];
    const kind = random.below(20);
    if (kind < 6) wrong.numbers[number] += pick([-2, -1, 1, 2], random);
    else if (kind < 8) wrong.numbers[number] = pick(numbers as never, random);
    else if (kind < 12) wrong.numbers[number] = pick(NUMBERS, random);
    else if (kind < 16 && given instanceof Float32Array)
      wrong.arrays[array] = given.subarray(0, random.below(given.length + 1));
    else if (kind < 17) wrong.arrays[array] = pick(arrays, random);
    else if (kind < 19) wrong.arrays[array] = pick(VALUES, random);
    else wrong.numbers = wrong.numbers.subarray(0, number);
  }
  return wrong as Description;
}

describe.skipIf(nativeKernels.length === 0)('the native kernels survive damaged jobs', () => {
  const { addon } = loaded as { addon: Addon };

  /** Runs every part over rows that the damaged sizes may mean, and over some that they do not; counts what ran. */
  function runParts(call: OpenedCall, numbers: Float64Array, panel: number, random: Random): number {
    const [batch, queries, keys, , extras, heads, kvHeads, headSize, , outputWidth] = numbers;
    let ran = 0;
    const attempt = (run: () => void) => {
      try {
        run();
        ran++;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    };
    const [rowCounts, headCounts] = [
      [queries, keys + extras, heads * headSize, kvHeads * headSize, outputWidth],
      [heads, kvHeads, 1],
    ];
    for (let part = 0; part < addon.parts.length; part++) {
      for (let attempts = 0; attempts < 5; attempts++) {
        const [rows, ofHeads] = [pick(rowCounts, random), pick(headCounts, random)];
        const tileRows = pick([rows, panel, 2 * panel, random.below(64)], random);
        attempt(() =>
          addon.runAll(call, Float64Array.of(part, 0, batch, ofHeads, rows, tileRows), random.below(3)),
        );
        const from = panel * random.below(3);
        const to = pick([rows, from + random.below(80)], random);
        attempt(() => addon.run(call, part, random.below(3), random.below(5), from, to));
      }
    }
    return ran;
  }

  it.each(nativeKernels)('$name', { timeout: 60_000 + SECONDS * 1500 }, async (kernel) => {
    const set = kernel.name.replace('native-', '');
    const { panel } = addon.instructionSets().find(({ name }) => name === set)!;
    const random = seeded(Number(process.env.FUZZ_SEED ?? 7));
    const jobs = soundJobs(addon, kernel);
    const endMs = performance.now() + SECONDS * 1000;
    let [rounds, opened, ran] = [0, 0, 0];
    for (; rounds < ROUNDS || performance.now() < endMs; rounds++) {
      if (rounds % ROUNDS_A_TURN === 0) await nextTurn();
      const { numbers, arrays } = damaged(pick(jobs, random), random);
      let call: OpenedCall;
      try {
        call = addon.open(numbers, arrays, set);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        continue;
      }
      opened++;
      ran += runParts(call, numbers, panel, random);
    }
    console.log(`${kernel.name}: ${rounds} damaged jobs, ${opened} opened, ${ran} of their parts ran`);
    expect(opened).toBeGreaterThan(rounds / 20);
    expect(opened).toBeLessThan(rounds * 0.9);
    expect(ran).toBeGreaterThan(opened);
  });
});
