import type { AttentionCall } from '../domain/call.ts';
import type { Precision } from '../domain/tensor.ts';
import { planBuffers } from './buffers.ts';
import type { Job, Kernel } from './kernel.ts';

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
  /** Computes rows [from, to) of one head. */
  readonly run: (job: Job, batch: number, head: number, from: number, to: number) => void;
}

/** Parts that do not depend on each other; they need all stages before. */
export interface StageProgram {
  readonly name: string;
  readonly parts: readonly Part[];
}

function tilesOf({ batch, heads, rows, tileRows }: Grid): number {
  return batch * heads * Math.ceil(rows / tileRows);
}

/** A kernel from its stages: the plan counts tiles, `run` finds the part and the rows that a tile stands for. */
export function defineKernel(name: string, precision: Precision, programs: readonly StageProgram[]): Kernel {
  const byName = new Map(programs.map((program) => [program.name, program]));

  const activeParts = (program: StageProgram, call: AttentionCall) =>
    program.parts.filter((part) => part.applies(call) && tilesOf(part.grid(call)) > 0);

  return {
    name,
    precision,

    plan(call) {
      const stages = programs.flatMap((program) => {
        let tiles = 0;
        let flops = 0;
        for (const part of activeParts(program, call)) {
          const grid = part.grid(call);
          tiles += tilesOf(grid);
          flops += grid.batch * grid.heads * grid.rows * part.flopsPerRow(call);
        }
        return tiles === 0 ? [] : [{ name: program.name, tiles, flopsPerTile: flops / tiles }];
      });
      return { stages, buffers: planBuffers(call) };
    },

    run(job, stage, tile) {
      let index = tile;
      for (const part of activeParts(byName.get(job.plan.stages[stage].name)!, job.call)) {
        const grid = part.grid(job.call);
        const tiles = tilesOf(grid);
        if (index >= tiles) {
          index -= tiles;
          continue;
        }
        const blocks = Math.ceil(grid.rows / grid.tileRows);
        const head = Math.floor(index / blocks);
        const from = (index % blocks) * grid.tileRows;
        const to = Math.min(from + grid.tileRows, grid.rows);
        part.run(job, Math.floor(head / grid.heads), head % grid.heads, from, to);
        return;
      }
      throw new RangeError(`Stage ${job.plan.stages[stage].name} has no tile ${tile}.`);
    },
  };
}
