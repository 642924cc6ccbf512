import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Job, Kernel } from '../../../src/kernels/kernel.ts';
import { allocate } from '../../../src/kernels/memory.ts';
import { type Addon, loadAddon } from '../../../src/kernels/native/addon.ts';
import { nativeKernels } from '../../../src/kernels/native/kernel.ts';
import { createStatus } from '../../../src/kernels/status.ts';
import { everything, makeCall, withGradients } from '../../support/calls.ts';
import { seeded } from '../../support/random.ts';
import { runTiles } from '../../support/run.ts';

/*
 * The C++ side checks all that it is given: a wrong call is an exception, and never a crash. Without a compiler there
 * is no addon, and nothing here to hold to that.
 */

const loaded = loadAddon();
const isBuilt = 'addon' in loaded;
/** At least this many damaged jobs, and more until this many seconds have passed. */
const ROUNDS = 1500;
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 0);

/** A call from tokens to projected outputs, in which everything is returned. */
function projectedJob(kernel: Kernel): Job {
  const projections = {
    width: 9,
    contextWidth: 7,
    layout: 'in_out',
    packed: null,
    bias: true,
    outputWidth: 11,
  } as const;
  const sizes = { batch: 2, queries: 5, newKeys: 6, extras: 1, heads: 4, kvHeads: 2, headSize: 6 };
  return jobOf(kernel, everything(makeCall({ precision: kernel.precision, ...sizes, projections })));
}

/** A call with past and extra keys, and its gradients where the kernel computes any. */
function gradientJob(kernel: Kernel): Job {
  const sizes = { batch: 2, queries: 5, newKeys: 6, past: 3, extras: 1, heads: 4, kvHeads: 2, headSize: 6 };
  const call = makeCall({ precision: kernel.precision, ...sizes, valueHeadSize: 5 });
  return jobOf(kernel, kernel.precision === 'float32' ? withGradients(call) : call);
}

function jobOf(kernel: Kernel, call: AttentionCall): Job {
  const plan = kernel.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}

describe.skipIf(!isBuilt)('the binding of the native kernels', () => {
  const { addon } = loaded as { addon: Addon };
  const kernel = nativeKernels[0];
  const set = kernel?.name.replace('native-', '');

  it('names what does not fit', () => {
    const job = projectedJob(kernel);
    const short = { ...job, memory: { ...job.memory, output: new Float32Array(3) } };
    expect(() => addon.open(short, set)).toThrow(/memory\.output: expected at least \d+ elements, got 3/);
    const wrongType = { ...job, memory: { ...job.memory, row_max: new Float32Array(1000) } } as Job;
    expect(() => addon.open(wrongType, set)).toThrow(/memory\.row_max: expected a typed array/);
    const call = { ...job.call, sizes: { ...job.call.sizes, kvHeads: 3 } };
    expect(() => addon.open({ ...job, call }, set)).toThrow(/kvHeads: expected a divisor of heads/);
    expect(() => addon.open(job, 'sse9')).toThrow(/sse9/);
    const withGradOutput = { ...job.call, gradOutput: gradientJob(kernel).call.gradOutput };
    expect(() => addon.open({ ...job, call: withGradOutput }, set)).toThrow(/gradOutput: expected given/);
    const rounding = nativeKernels.find(({ precision }) => precision === 'bfloat16')!;
    const roundingSet = rounding.name.replace('native-', '');
    expect(() => addon.open(gradientJob(kernel), roundingSet)).toThrow(/gradOutput: expected no gradients/);
    const gradient = gradientJob(kernel);
    const noPanels = {
      ...gradient,
      memory: { ...gradient.memory, 'native.value_panels': new Float32Array(9) },
    };
    expect(() => addon.open(noPanels, set)).toThrow(/native\.value_panels: expected at least/);
  });

  it('runs no rows that there are not', () => {
    const opened = addon.open(projectedJob(kernel), set);
    const attend = addon.parts.indexOf('attend');
    for (const [part, batch, head, from, to] of [
      [attend, 2, 0, 0, 5],
      [attend, 0, 4, 0, 5],
      [attend, 0, 0, 0, 6],
      [attend, 0, 0, 5, 0],
      [attend, 0, 0, 1, 5],
      [attend, -1, 0, 0, 5],
      [addon.parts.length, 0, 0, 0, 5],
    ]) {
      expect(() => addon.run(opened, part, batch, head, from, to)).toThrow(RangeError);
    }
    expect(() => addon.run({} as never, attend, 0, 0, 0, 5)).toThrow(/what open\(\) returned/);
  });

  it.each(nativeKernels)('$name survives damaged jobs', { timeout: 60_000 + SECONDS * 1500 }, (native) => {
    const random = seeded(Number(process.env.FUZZ_SEED ?? 7)).uniform;
    const endMs = performance.now() + SECONDS * 1000;
    let refused = 0;
    let round = 0;
    for (; round < ROUNDS || performance.now() < endMs; round++) {
      const job = damaged(round % 2 === 0 ? projectedJob(native) : gradientJob(native), random);
      try {
        // Plans made for another call are fine: whatever is computed must stay within the arrays.
        runTiles(native, job);
      } catch (error) {
        if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
        refused++;
      }
    }
    console.log(`${native.name}: ${round} damaged jobs, ${refused} refused`);
    expect(refused).toBeGreaterThan(round / 4);
  });
});

/** A job in which one to three members, found at random, hold something else. */
function damaged(job: Job, random: () => number): Job {
  const copy = { ...(clone(job) as Job), status: createStatus() };
  const damages = 1 + Math.floor(random() * 3);
  for (let i = 0; i < damages; i++) damage(copy as unknown as Record<string, unknown>, random);
  return copy;
}

type Members = Record<string, unknown>;

function clone(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(clone);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, clone(member)]));
}

function damage(root: Members, random: () => number): void {
  let owner = random() < 0.7 ? (root.call as Members) : (root.memory as unknown as Members);
  for (;;) {
    const names = Object.keys(owner);
    if (names.length === 0) return;
    const name = names[Math.floor(random() * names.length)];
    const value = owner[name];
    const isInner = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
    if (isInner && random() < 0.9) {
      owner = value as Members;
      continue;
    }
    owner[name] = replacement(value, random);
    return;
  }
}

function replacement(value: unknown, random: () => number): unknown {
  const others = [
    undefined,
    null,
    true,
    'text',
    {},
    [],
    new Float32Array(0),
    new Float32Array(64),
    new Int32Array(3),
  ];
  const numbers = [0, 1, 2, 3, 7, 64, 4096, -1, 0.5, 2 ** 31, 2 ** 40, 2 ** 53, -(2 ** 53), NaN, Infinity];
  if (typeof value === 'number' && random() < 0.9) return numbers[Math.floor(random() * numbers.length)];
  if (value instanceof Float32Array && random() < 0.6)
    return value.subarray(0, Math.floor(random() * value.length));
  return others[Math.floor(random() * others.length)];
}
