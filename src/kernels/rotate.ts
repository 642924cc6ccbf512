import type { HeadView, Rope } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';
import { headShape, isHeldToRange, preparedStrides } from './heads.ts';
import type { Job } from './kernel.ts';
import { gradView } from './reference/gradients.ts';
import { rotateRow, rotateRowBack } from './rope.ts';
import { reportOverflow } from './status.ts';

type Rotation = (
  rope: Rope,
  role: 'query' | 'key',
  batch: number,
  row: number,
  x: RealArray,
  at: number,
) => boolean;

/** Rotates projected heads where they lie; see rotateRow. */
export function rotateHeads(role: 'query' | 'key') {
  const viewOf = (job: Job) => ({ data: job.memory[role] as RealArray, ...preparedStrides(job.call, role) });
  return rotateRows(role, rotateRow, viewOf, (job) => isHeldToRange(job.call, role));
}

/** Rotates the gradients of rotated heads back where they lie; see rotateRowBack. */
export function rotateGradientsBack(role: 'query' | 'key') {
  return rotateRows(
    role,
    rotateRowBack,
    (job) => gradView(job, `grad_${role}`),
    () => true,
  );
}

/** `reports`: whether a number that is not finite after the rotation is an overflow, whoever sees it. */
function rotateRows(
  role: 'query' | 'key',
  rotate: Rotation,
  viewOf: (job: Job) => HeadView,
  reports: (job: Job) => boolean,
) {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const { rope } = job.call;
    if (rope === null) return;
    const { size } = headShape(job.call, role);
    const { data, batchStride, headStride, rowStride } = viewOf(job);
    let fits = true;
    for (let i = from; i < to; i++) {
      const at = batch * batchStride + head * headStride + i * rowStride;
      fits = rotate(rope, role, batch, i, data, at) && fits;
      for (let c = rope.dims; c < size; c++) fits = Number.isFinite(data[at + c]) && fits;
    }
    if (!fits && reports(job)) reportOverflow(job.status);
  };
}
