import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import type { Job, Kernel } from '../../../src/kernels/kernel.ts';
import { allocate } from '../../../src/kernels/memory.ts';
import { type Addon, loadAddon, type OpenedCall } from '../../../src/kernels/native/addon.ts';
import type { Description } from '../../../src/kernels/native/description.ts';
import { nativeKernels } from '../../../src/kernels/native/kernel.ts';
import { createStatus } from '../../../src/kernels/status.ts';
import { computesGradients, everything, makeCall, withGradients } from '../../support/calls.ts';
import { describedFor } from '../../support/native-jobs.ts';

/*
 * The C++ side checks all that it is given: a wrong call is an exception, and never a crash. Without a compiler there
 * is no addon, and nothing here to hold to that.
 */

const loaded = loadAddon();
const isBuilt = 'addon' in loaded;

const SIZES = { batch: 2, queries: 5, newKeys: 6, extras: 1, heads: 4, kvHeads: 2, headSize: 6 } as const;

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
  return jobOf(kernel, everything(makeCall({ precision: kernel.precision, ...SIZES, projections })));
}

/** A call with past and extra keys, and its gradients. Its heads fill groups of bfloat16, so its memory is enough for them. */
function gradientJob(kernel: Kernel): Job {
  const sizes = { ...SIZES, newKeys: 28, past: 3, headSize: 32 };
  return jobOf(kernel, withGradients(makeCall({ precision: kernel.precision, ...sizes })));
}

function jobOf(kernel: Kernel, call: AttentionCall): Job {
  const plan = kernel.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}

describe.skipIf(!isBuilt)('the binding of the native kernels', () => {
  const { addon } = loaded as { addon: Addon };
  const kernel = nativeKernels.find(computesGradients)!;
  const set = kernel?.name.replace('native-', '');
  const open = (job: Job, name = set): OpenedCall => {
    const { numbers, arrays } = describedFor(addon, name, job);
    return addon.open(numbers, arrays, name);
  };

  it('names what does not fit', () => {
    const job = projectedJob(kernel);
    const withMemory = (base: Job, memory: object) =>
      ({ ...base, memory: { ...base.memory, ...memory } }) as Job;
    expect(() => open(withMemory(job, { output: new Float32Array(3) }))).toThrow(
      /output: expected at least \d+ elements, got 3/,
    );
    expect(() => open(withMemory(job, { row_max: new Float32Array(1000) }))).toThrow(
      /row_max: expected a typed array/,
    );
    expect(() => open(withMemory(job, { concat: undefined }))).toThrow(/concat: expected a typed array/);
    const call = { ...job.call, sizes: { ...job.call.sizes, kvHeads: 3 } };
    expect(() => open({ ...job, call })).toThrow(/kvHeads: expected a divisor of heads/);
    expect(() => open(job, 'sse9')).toThrow(/sse9/);
    const rounding = nativeKernels.find(({ precision }) => precision === 'bfloat16')!;
    const gradient = gradientJob(kernel);
    expect(() => open(gradient, rounding.name.replace('native-', ''))).toThrow(
      /gradOutput: expected no gradients/,
    );
    expect(() => open(withMemory(gradient, { 'native.value_panels': new Float32Array(9) }))).toThrow(
      /native\.value_panels: expected at least/,
    );
  });

  it('takes a description only whole', () => {
    const { numbers, arrays }: Description = describedFor(addon, set, projectedJob(kernel));
    const all = numbers.slice();
    expect(() => addon.open(all.subarray(0, -1), arrays, set)).toThrow(/expected a number/);
    expect(() => addon.open(all, arrays.slice(0, -1), set)).toThrow(/status: expected an array/);
    expect(() => addon.open(Float64Array.of(...all, 0), arrays, set)).toThrow(/expected no more/);
    expect(() => addon.open(all, [...arrays, null], set)).toThrow(/expected no more/);
    expect(() => addon.open([...all] as never, arrays, set)).toThrow(/a Float64Array/);
    expect(() => addon.open(all, {} as never, set)).toThrow(/a list/);
  });

  it('runs no rows that there are not', () => {
    const opened = open(projectedJob(kernel));
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

  it('runs rows of few queries that are none, or a head in part', () => {
    const job = jobOf(kernel, makeCall({ precision: 'float32', queries: 2, newKeys: 40, heads: 4 }));
    const opened = open(job);
    const attend = addon.parts.indexOf('attendFew');
    job.memory.output.fill(Number.NaN);
    addon.run(opened, attend, 0, 1, 2, 2);
    expect(job.memory.output.every(Number.isNaN)).toBe(true);
    addon.run(opened, attend, 0, 1, 0, 1);
    expect(job.memory.output.findIndex((x) => !Number.isNaN(x))).toBe(2 * 8);
    expect(() => addon.run(opened, attend, 0, 1, 1, 2)).toThrow(/attendFew: there are no such rows/);
    expect(() => addon.run(opened, attend, 0, 1, 0, 3)).toThrow(/attendFew: there are no such rows/);
  });

  it('runs no steps that there are not', () => {
    const opened = open(projectedJob(kernel));
    const attend = addon.parts.indexOf('attend');
    for (const step of [
      [attend, 0, 3, 4, 5, 64],
      [attend, 0, 2, 5, 5, 64],
      [attend, 0, 2, 4, 6, 64],
      [attend, 0, 2, 4, 5, 0],
      [attend, 0, 2, 4, 5, 3],
      [attend, 0, 2, 4, 5, Number.NaN],
      [attend, 0, 2, 4, 5],
      [attend, 1e6, 2, 4, 5, 64],
      [attend, 1, 2, 4, 5, 64, attend, 0, 2, 4, 5, 64],
      [addon.parts.length, 0, 1, 1, 1, 64],
    ]) {
      expect(() => addon.runAll(opened, Float64Array.from(step), 0)).toThrow(RangeError);
    }
    const none = new Float64Array(0);
    expect(() => addon.runAll({} as never, none, 0)).toThrow(/what open\(\) returned/);
    expect(() => addon.runAll(opened, [] as never, 0)).toThrow(/a Float64Array/);
    for (const helpers of [-1, 1e6, 'one' as never])
      expect(() => addon.runAll(opened, none, helpers)).toThrow(RangeError);
  });
});
