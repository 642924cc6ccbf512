import type { AttentionCall } from '../../domain/call.ts';
import { fitsFloat32 } from '../float32-limits.ts';
import { inGroups } from '../in-groups.ts';
import type { Job, Kernel } from '../kernel.ts';
import { defineKernel, type Part, type PlacedPart, type PlacedStage, runPart } from '../program.ts';
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

/** What runs one after the other: steps that the addon computes, or a part in TypeScript. */
type Leg = { readonly steps: Float64Array } | { readonly part: PlacedPart; readonly round: number };

/** float32 or bfloat16 in C++: fused attention on panels of queries, packed projections; see ARCHITECTURE.md. */
function nativeKernel(addon: Addon, instructionSet: InstructionSet): Kernel {
  const { name: set, precision } = instructionSet;
  const layout = layoutOf(instructionSet);
  const opened = new WeakMap<Job, OpenedCall>();
  const open = (job: Job): OpenedCall => {
    let call = opened.get(job);
    if (call === undefined) {
      const { numbers, arrays } = describeJob(job, layout);
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
  const legsOf = (stages: readonly PlacedStage[]): readonly Leg[] => {
    const legs: Leg[] = [];
    let steps: number[] = [];
    /** Stages are numbered from the first one of a call of the addon: gradients have one for each round of keys. */
    let first = 0;
    const endLeg = () => {
      if (steps.length > 0) legs.push({ steps: Float64Array.from(steps) });
      steps = [];
    };
    for (const [stage, { parts, round }] of stages.entries()) {
      for (const placed of parts) {
        const number = partNumbers.get(placed.run);
        if (number === undefined) {
          endLeg();
          legs.push({ part: placed, round });
          continue;
        }
        const { batch, heads, rows, tileRows } = placed.grid;
        if (steps.length === MOST_STEPS * STEP_NUMBERS) endLeg();
        if (steps.length === 0) first = stage;
        steps.push(number, stage - first, batch, heads, rows, tileRows);
      }
    }
    endLeg();
    return legs;
  };
  const known = new WeakMap<readonly PlacedStage[], readonly Leg[]>();
  const runStages = (job: Job, stages: readonly PlacedStage[], helpers: number): void => {
    let legs = known.get(stages);
    if (legs === undefined) {
      legs = legsOf(stages);
      known.set(stages, legs);
    }
    for (const leg of legs) {
      if ('steps' in leg) addon.runAll(open(job), leg.steps, helpers);
      else runPart(job, leg.part, leg.round);
    }
  };
  const name = `native-${set}`;
  const buffersOf = (call: AttentionCall) => planNativeBuffers(call, layout);
  const kernel: Kernel = {
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
  // As many rows as a projection takes through a weight at a time: fewer would read it more often.
  return inGroups(kernel, { rows: layout.blockPanels * layout.panel });
}
