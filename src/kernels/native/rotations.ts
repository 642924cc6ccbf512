import type { AttentionCall } from '../../domain/call.ts';
import { headGrid } from '../grids.ts';
import { headShape } from '../heads.ts';
import type { BufferPlan, Job } from '../kernel.ts';
import type { Grid, Part } from '../program.ts';
import { anglesAt, positionsOf, ROTATED, type Rotated } from '../rope.ts';

/*
 * Rotary embedding of the addon: cosines and sines are looked up here, in the memory of the job, and rows turned there
 * (addon/rotate.h). Row i of sample b has the cosines of its pairs and then the sines, all in float64.
 */

const PARTS = { query: 'rotateQuery', key: 'rotateKey' } as const;
/** Panels of rows of one tile that rotates them. */
const ROW_PANELS = 4;

/** Samples that have angles of their own: where positions are numbered from one on, they are those of every sample. */
function samplesOf({ rope, sizes }: AttentionCall, role: Rotated): number {
  const positions = positionsOf(rope!, role);
  return positions.kind === 'table' && positions.batchStride > 0 ? sizes.batch : 1;
}

/** How far the angles of a sample lie from those of the next. */
export function anglesStride(call: AttentionCall, role: Rotated): number {
  return samplesOf(call, role) === 1 ? 0 : headShape(call, role).rows * call.rope!.dims;
}

export const anglesName = (role: Rotated) => `native.${role}_angles`;

/** The angles of a call that rotates. */
export function planAngles(call: AttentionCall): Record<string, BufferPlan> {
  const { rope } = call;
  if (rope === null) return {};
  return Object.fromEntries(
    ROTATED.map((role) => {
      const elements = samplesOf(call, role) * headShape(call, role).rows * rope.dims;
      return [anglesName(role), { type: 'float64', elements }];
    }),
  );
}

/** Looks up the angles of all rows. */
export function anglesParts(tileRows: number): readonly Part[] {
  return ROTATED.map((role) => ({
    grid: (call): Grid => {
      return { batch: samplesOf(call, role), heads: 1, rows: headShape(call, role).rows, tileRows };
    },
    flopsPerRow: (call) => 2 * call.rope!.dims,
    applies: (call) => call.rope !== null,
    run: lookUpAngles(role),
  }));
}

function lookUpAngles(role: Rotated) {
  return ({ call, memory }: Job, batch: number, _head: number, from: number, to: number): void => {
    const rope = call.rope!;
    const pairs = rope.dims / 2;
    const angles = memory[anglesName(role)] as Float64Array;
    let at = batch * anglesStride(call, role) + from * rope.dims;
    for (let row = from; row < to; row++, at += rope.dims) {
      const { cosines, sines, from: first } = anglesAt(rope, role, batch, row);
      for (let pair = 0; pair < pairs; pair++) {
        angles[at + pair] = cosines[first + pair];
        angles[at + pairs + pair] = sines[first + pair];
      }
    }
  };
}

/** Turns the rows of heads, by `part`s of the addon. */
export function rotationParts(part: (name: string) => Part['run'], panel: number): readonly Part[] {
  return ROTATED.map((role) => ({
    grid: (call) => headGrid(call, role, ROW_PANELS * panel),
    flopsPerRow: (call) => 4 * headShape(call, role).size,
    applies: (call) => call.rope !== null,
    run: part(PARTS[role]),
  }));
}
