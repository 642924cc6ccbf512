import type { AttentionCall, HeadStrides, HeadView, Rope } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';
import { headGrid } from './grids.ts';
import { headShape, isGivenAndRotated, isHeldToRange, isProjected, preparedStrides } from './heads.ts';
import type { Job } from './kernel.ts';
import type { Part } from './program.ts';
import { gradView } from './reference/gradients.ts';
import { ROTATED, type Rotated, rotateRow, rotateRowBack } from './rope.ts';
import { reportOverflow } from './status.ts';

type Rotation = (rope: Rope, role: Rotated, batch: number, row: number, x: RealArray, at: number) => boolean;

/** Rotations of queries and keys in a stage of their own: of projected heads where they lie, of copies of given ones. */
export function rotationParts(tileRows: number): readonly Part[] {
  return ROTATED.flatMap((role): Part[] => {
    const grid = (call: AttentionCall) => headGrid(call, role, tileRows);
    const flopsPerRow = (call: AttentionCall) => 8 * headShape(call, role).size;
    const isRotated = (call: AttentionCall) => call.rope !== null && isProjected(call, role);
    return [
      { grid, flopsPerRow, applies: isRotated, run: rotateHeads(role) },
      {
        grid,
        flopsPerRow,
        applies: (call) => isGivenAndRotated(call, role),
        run: copyAndRotateHeads(role),
      },
    ];
  });
}

/** Rotates projected heads where they lie; see rotateRow. */
function rotateHeads(role: Rotated) {
  const viewOf = (job: Job) => ({ data: job.memory[role] as RealArray, ...preparedStrides(job.call, role) });
  return rotateRows(role, rotateRow, viewOf, (job) => isHeldToRange(job.call, role));
}

/** Copies heads that are given to where prepared ones lie, and rotates them there. */
function copyAndRotateHeads(role: Rotated) {
  const rotate = rotateHeads(role);
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const source = job.call[role];
    if (source.kind !== 'given') throw new TypeError(`The ${role} heads are projected.`);
    const { size } = headShape(job.call, role);
    const prepared = preparedStrides(job.call, role);
    const [x, y] = [source.view.data, job.memory[role] as RealArray];
    for (let i = from; i < to; i++) {
      const read = rowAt(source.view, batch, head, i);
      const written = rowAt(prepared, batch, head, i);
      for (let c = 0; c < size; c++) y[written + c] = x[read + c];
    }
    rotate(job, batch, head, from, to);
  };
}

function rowAt(strides: HeadStrides, batch: number, head: number, row: number): number {
  return batch * strides.batchStride + head * strides.headStride + row * strides.rowStride;
}

/** Rotates the gradients of rotated heads back where they lie; see rotateRowBack. */
export function rotateGradientsBack(role: Rotated) {
  return rotateRows(
    role,
    rotateRowBack,
    (job) => gradView(job, `grad_${role}`),
    () => true,
  );
}

/** `reports`: whether a number that is not finite after the rotation is an overflow, whoever sees it. */
function rotateRows(
  role: Rotated,
  rotate: Rotation,
  viewOf: (job: Job) => HeadView,
  reports: (job: Job) => boolean,
) {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const { rope } = job.call;
    if (rope === null) return;
    const { size } = headShape(job.call, role);
    const view = viewOf(job);
    const { data } = view;
    let fits = true;
    for (let i = from; i < to; i++) {
      const at = rowAt(view, batch, head, i);
      fits = rotate(rope, role, batch, i, data, at) && fits;
      for (let c = rope.dims; c < size; c++) fits = Number.isFinite(data[at + c]) && fits;
    }
    if (!fits && reports(job)) reportOverflow(job.status);
  };
}
