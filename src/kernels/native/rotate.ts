import type { RealArray } from '../../domain/tensor.ts';
import { headShape, preparedStrides } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { rotateRow } from '../rope.ts';
import { Scratch } from '../scratch.ts';

const rowScratch = new Scratch();

/** Rotates projected heads where they lie; see rotateRow. */
export function rotateHeads(role: 'query' | 'key') {
  return (job: Job, batch: number, head: number, from: number, to: number): void => {
    const { rope } = job.call;
    if (rope === null) return;
    const { size } = headShape(job.call, role);
    const { batchStride, headStride, rowStride } = preparedStrides(job.call, role);
    const heads = job.memory[role] as RealArray;
    const row = rowScratch.take(size);
    for (let i = from; i < to; i++) {
      const at = batch * batchStride + head * headStride + i * rowStride;
      for (let c = 0; c < size; c++) row[c] = heads[at + c];
      rotateRow(rope, role, batch, i, row, 0);
      for (let c = 0; c < size; c++) heads[at + c] = row[c];
    }
  };
}
