import type { AttentionCall } from '../domain/call.ts';
import type { Precision } from '../domain/tensor.ts';
import { planBuffers } from './buffers.ts';
import type { BufferPlan, Job, Kernel } from './kernel.ts';
import { isCancelled } from './status.ts';

/** Rows of every head of every sample, cut into tiles of up to `tileRows` rows. */
export interface Grid {
  readonly batch: number;
  readonly heads: number;
  readonly rows: number;
  readonly tileRows: number;
}

/** One kind of work inside a stage, over the tiles of its grid. */
export interface Part {
  readonly grid: (call: AttentionCall) => Grid;
  /** Floating-point operations for one row of one head. */
  readonly flopsPerRow: (call: AttentionCall) => number;
  readonly applies: (call: AttentionCall) => boolean;
  /** Computes rows [from, to) of one head, in one of the rounds of its stage. */
  readonly run: (job: Job, batch: number, head: number, from: number, to: number, round: number) => void;
}

/** Parts that do not depend on each other; they need all stages before. */
export interface StageProgram {
  readonly name: string;
  readonly parts: readonly Part[];
  /** How many times the stage is run, each time after the other; once where not given. */
  readonly rounds?: (call: AttentionCall) => number;
}

/** A part of one call: where its tiles are among those of the stage. */
export interface PlacedPart {
  readonly run: Part['run'];
  readonly grid: Grid;
  readonly firstTile: number;
  readonly endTile: number;
  readonly flops: number;
}

/** The parts of a stage that a call has, one after the other. */
function placeParts({ parts }: StageProgram, call: AttentionCall): readonly PlacedPart[] {
  const placed: PlacedPart[] = [];
  let firstTile = 0;
  for (const part of parts) {
    if (!part.applies(call)) continue;
    const grid = part.grid(call);
    const heads = grid.batch * grid.heads;
    // Of nothing, neither the height of a tile nor what a row costs need be a number.
    if (heads * grid.rows === 0) continue;
    const endTile = firstTile + heads * Math.ceil(grid.rows / grid.tileRows);
    placed.push({
      run: part.run,
      grid,
      firstTile,
      endTile,
      flops: heads * grid.rows * part.flopsPerRow(call),
    });
    firstTile = endTile;
  }
  return placed;
}

/** One stage of one call, in one of its rounds. */
export interface PlacedStage {
  readonly name: string;
  readonly parts: readonly PlacedPart[];
  readonly round: number;
}

/** Computes all tiles of a part, until the job is cancelled. */
export function runPart(job: Job, { run, grid }: PlacedPart, round: number): void {
  const { batch, heads, rows, tileRows } = grid;
  for (let sample = 0; sample < batch; sample++)
    for (let head = 0; head < heads; head++)
      for (let from = 0; from < rows && !isCancelled(job.status); from += tileRows)
        run(job, sample, head, from, Math.min(from + tileRows, rows), round);
}

function runStages(job: Job, stages: readonly PlacedStage[]): void {
  for (const { parts, round } of stages) for (const part of parts) runPart(job, part, round);
}

/** How fast a kernel is, and what it does in a way of its own. */
export interface KernelOptions {
  readonly flopsPerMs: number;
  readonly buffersOf?: (call: AttentionCall) => Readonly<Record<string, BufferPlan>>;
  /** Computes all tiles of all stages, in this order, with so many helpers if it has any. */
  readonly runStages?: (job: Job, stages: readonly PlacedStage[], helpers: number) => void;
}

/**
 * A kernel from its stages: the plan counts tiles, `run` finds the part and the rows that a tile stands for, `runAll`
 * goes through all of them.
 */
export function defineKernel(
  name: string,
  precision: Precision,
  programs: readonly StageProgram[],
  { flopsPerMs, buffersOf = planBuffers, runStages: runAllStages = runStages }: KernelOptions,
): Kernel {
  const placed = new WeakMap<AttentionCall, readonly PlacedStage[]>();

  function stagesOf(call: AttentionCall): readonly PlacedStage[] {
    const known = placed.get(call);
    if (known !== undefined) return known;
    const stages: PlacedStage[] = [];
    for (const program of programs) {
      const parts = placeParts(program, call);
      if (parts.length === 0) continue;
      const rounds = program.rounds?.(call) ?? 1;
      for (let round = 0; round < rounds; round++) stages.push({ name: program.name, parts, round });
    }
    placed.set(call, stages);
    return stages;
  }

  return {
    name,
    precision,
    flopsPerMs,

    plan(call) {
      const stages = stagesOf(call).map((stage) => {
        const tiles = stage.parts.at(-1)!.endTile;
        const flops = stage.parts.reduce((sum, part) => sum + part.flops, 0);
        return { name: stage.name, tiles, flopsPerTile: flops / tiles };
      });
      return { stages, buffers: buffersOf(call) };
    },

    run(job, stage, tile) {
      const { parts, round } = stagesOf(job.call)[stage];
      const part = parts.find(({ endTile }) => tile < endTile);
      if (part === undefined) throw new RangeError(`Stage ${stage} of kernel ${name} has no tile ${tile}.`);
      const { grid } = part;
      const blocks = Math.ceil(grid.rows / grid.tileRows);
      const index = tile - part.firstTile;
      const head = Math.floor(index / blocks);
      const from = (index % blocks) * grid.tileRows;
      const to = Math.min(from + grid.tileRows, grid.rows);
      part.run(job, Math.floor(head / grid.heads), head % grid.heads, from, to, round);
    },

    runAll: (job, helpers = 0) => runAllStages(job, stagesOf(job.call), helpers),
  };
}
