import type { AttentionCall } from '../../domain/call.ts';
import { fitsFloat32 } from '../float32-limits.ts';
import type { Job, Kernel } from '../kernel.ts';
import { defineKernel, type Grid, type Part, type PlacedStage, runPart } from '../program.ts';
import { type Addon, type InstructionSet, loadAddon, type OpenedCall } from './addon.ts';
import { planNativeBuffers } from './buffers.ts';
import { describeJob } from './description.ts';
import { layoutOf } from './layout.ts';
import { keepPacked } from './packed.ts';
import { nativeStages } from './stages.ts';
import { isBestFor } from './ways.ts';

const loaded = loadAddon();

/** Why there are no native kernels, or null. */
export const nativeUnavailable = 'reason' in loaded ? loaded.reason : null;

/** The native kernels that this machine runs, one for each instruction set and precision, fastest first. */
export const nativeKernels: readonly Kernel[] =
  'addon' in loaded ? loaded.addon.instructionSets().map((set) => nativeKernel(loaded.addon, set)) : [];

/** Parts for one call of the addon, more than any call has between two parts in TypeScript; see Addon.runAll. */
const MOST_STEPS = 32;
const STEP_NUMBERS = 6;
const steps = new Float64Array(MOST_STEPS * STEP_NUMBERS);

function writeStep(step: number, part: number, stage: number, { batch, heads, rows, tileRows }: Grid): void {
  const at = step * STEP_NUMBERS;
  steps[at] = part;
  steps[at + 1] = stage;
  steps[at + 2] = batch;
  steps[at + 3] = heads;
  steps[at + 4] = rows;
  steps[at + 5] = tileRows;
}

/** float32 or bfloat16 in C++: fused attention on panels of queries, packed projections; see ARCHITECTURE.md. */
function nativeKernel(addon: Addon, instructionSet: InstructionSet): Kernel {
  const { name: set, precision } = instructionSet;
  const layout = layoutOf(instructionSet);
  const opened = new WeakMap<Job, OpenedCall>();
  const open = (job: Job): OpenedCall => {
    let call = opened.get(job);
    if (call === undefined) {
      const { numbers, arrays } = describeJob(job);
      call = addon.open(numbers, arrays, set);
      opened.set(job, call);
    }
    return call;
  };
  /** The parts that the addon computes, by its numbers. */
  const partNumbers = new Map<Part['run'], number>();
  const part = (name: string): Part['run'] => {
    const number = addon.parts.indexOf(name);
    const run: Part['run'] = (job, batch, head, from, to) =>
      addon.run(open(job), number, batch, head, from, to);
    partNumbers.set(run, number);
    return run;
  };
  /** What lies between parts in TypeScript is one call of the addon: a call costs as much as a tile of a small layer. */
  const runStages = (job: Job, stages: readonly PlacedStage[], helpers: number): void => {
    let count = 0;
    /** Stages are numbered from the first one of a call of the addon: gradients have one for each round of keys. */
    let first = 0;
    const runSteps = () => {
      if (count > 0) addon.runAll(open(job), steps.subarray(0, count * STEP_NUMBERS), helpers);
      count = 0;
    };
    for (const [stage, { parts, round }] of stages.entries()) {
      for (const placed of parts) {
        const number = partNumbers.get(placed.run);
        if (number === undefined) {
          runSteps();
          runPart(job, placed, round);
        } else {
          if (count === MOST_STEPS) runSteps();
          if (count === 0) first = stage;
          writeStep(count++, number, stage - first, placed.grid);
        }
      }
    }
    runSteps();
  };
  const name = `native-${set}`;
  const buffersOf = (call: AttentionCall) => planNativeBuffers(call, layout);
  return {
    ...defineKernel(name, precision, nativeStages(part, layout), {
      flopsPerMs: 5e7,
      buffersOf,
      runStages,
    }),
    hasHelpers: true,
    keepPacked: ({ call, memory }) => keepPacked(call, memory, layout),
    suits: (call) => isBestFor(call, layout),
    supports: (call) => (call.gradOutput === null || layout.isPlain) && fitsFloat32(call),
  };
}
