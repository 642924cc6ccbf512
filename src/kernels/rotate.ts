import type { HeadView, Rope } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';
import { headShape, preparedStrides } from './heads.ts';
import type { Job } from './kernel.ts';
import { gradView } from './reference/gradients.ts';
import { rotateRow, rotateRowBack } from './rope.ts';
import { Scratch } from './scratch.ts';

const rowScratch = new Scratch();

type Rotation = (
  rope: Rope,
  role: 'query' | 'key',
  batch: number,
  row: number,
  x: Float64Array,
  at: number,
) => void;

/** Rotates projected heads where they lie; see rotateRow. */
export function rotateHeads(role: 'query' | 'key') {
  return rotateRows(role, rotateRow, (job) => ({
    data: job.memory[role] as RealArray,
    ...preparedStrides(job.call, role),
  }));
}

/** Rotates the gradients of rotated heads back where they lie; see rotateRowBack. */
export function rotateGradientsBack(role: 'query' | 'key') {
  return rotateRows(role, rotateRowBack, (job) => gradView(job, `grad_${role}`));
}

function rotateRows(role: 'query' | 'key', rotate: Rotation, viewOf: (job: Job) => HeadView) {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const { rope } = job.call;
    if (rope === null) return;
    const { size } = headShape(job.call, role);
    const { data, batchStride, headStride, rowStride } = viewOf(job);
    const row = rowScratch.take(size);
    for (let i = from; i < to; i++) {
      const at = batch * batchStride + head * headStride + i * rowStride;
      for (let c = 0; c < size; c++) row[c] = data[at + c];
      rotate(rope, role, batch, i, row, 0);
      for (let c = 0; c < size; c++) data[at + c] = row[c];
    }
  };
}
