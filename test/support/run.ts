import type { AttentionCall, ResultTensor } from '../../src/domain/call.ts';
import { headShape } from '../../src/kernels/heads.ts';
import type { Job, Kernel, Memory, Plan } from '../../src/kernels/kernel.ts';
import { allocate } from '../../src/kernels/memory.ts';
import { createStatus } from '../../src/kernels/status.ts';

/** The order in which the tiles of a stage run. */
export type TileOrder = (tiles: number) => readonly number[];

export const IN_ORDER: TileOrder = (tiles) => Array.from({ length: tiles }, (_, tile) => tile);
export const REVERSED: TileOrder = (tiles) => [...IN_ORDER(tiles)].reverse();

/** Plans a call. */
export function newJob(kernel: Kernel, call: AttentionCall): Job {
  const plan = kernel.plan(call);
  return { call, plan, memory: poisoned(plan), status: createStatus() };
}

/** Has one thread run all tiles of a call. */
export function run(kernel: Kernel, call: AttentionCall, order: TileOrder = IN_ORDER): Job {
  const job = newJob(kernel, call);
  runTiles(kernel, job, order);
  return job;
}

/** The same by the kernel itself, in one go, and with so many helpers. */
export function runAll(kernel: Kernel, call: AttentionCall, helpers = 0): Job {
  const job = newJob(kernel, call);
  kernel.runAll(job, helpers);
  return job;
}

/** Memory as an earlier job may leave it: every element is NaN, or a number that no index reaches. */
export function poisoned(plan: Plan): Memory {
  const memory = allocate(plan);
  for (const buffer of Object.values(memory))
    buffer.fill(buffer instanceof Int32Array ? -(2 ** 30) : Number.NaN);
  return memory;
}

export function runTiles(kernel: Kernel, job: Job, order: TileOrder = IN_ORDER): void {
  job.plan.stages.forEach((stage, index) => {
    for (const tile of order(stage.tiles)) kernel.run(job, index, tile);
  });
}

/** The results of a job and the softmax statistics; not the workspace, which a kernel may align in its buffers. */
export function resultsOf(memory: Memory): Memory {
  const isResult = (name: string) => /^(output|weights|logits|log_sum_exp|present_|grad_|row_)/.test(name);
  return Object.fromEntries(Object.entries(memory).filter(([name]) => isResult(name)));
}

/** The output as [B, L, width], however the caller wants it laid out. */
export function outputRows({ call, memory }: Job): Float64Array {
  const { batch, queries, valueHeadSize, outputWidth } = call.sizes;
  const { strides } = call.results.output;
  const out = new Float64Array(batch * queries * outputWidth);
  let at = 0;
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < queries; i++)
      for (let c = 0; c < outputWidth; c++) {
        const column =
          call.outputProjection === null
            ? Math.floor(c / valueHeadSize) * strides.headStride + (c % valueHeadSize)
            : c;
        out[at++] = memory.output[b * strides.batchStride + i * strides.rowStride + column];
      }
  return out;
}

/** A gradient as [B, heads, rows, d], however the rows that it belongs to lie. */
export function gradRows({ call, memory }: Job, role: 'query' | 'key' | 'value'): Float64Array {
  const source = call[role];
  if (source.kind !== 'given') throw new TypeError('gradients are those of given heads');
  const { heads, rows, size } = headShape(call, role);
  const { batchStride, headStride, rowStride } = source.view;
  const out = new Float64Array(call.sizes.batch * heads * rows * size);
  let at = 0;
  for (let b = 0; b < call.sizes.batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < rows; i++)
        for (let c = 0; c < size; c++)
          out[at++] = memory[`grad_${role}`][b * batchStride + h * headStride + i * rowStride + c];
  return out;
}

/** present_key or present_value as [B, G, S, d]. */
export function presentRows({ call, memory }: Job, name: 'present_key' | 'present_value'): Float64Array {
  const { batch, kvHeads, keys, headSize, valueHeadSize } = call.sizes;
  const size = name === 'present_key' ? headSize : valueHeadSize;
  const { strides }: ResultTensor =
    name === 'present_key' ? call.results.presentKey : call.results.presentValue;
  const out = new Float64Array(batch * kvHeads * keys * size);
  let at = 0;
  for (let b = 0; b < batch; b++)
    for (let g = 0; g < kvHeads; g++)
      for (let j = 0; j < keys; j++)
        for (let c = 0; c < size; c++)
          out[at++] =
            memory[name][b * strides.batchStride + g * strides.headStride + j * strides.rowStride + c];
  return out;
}
