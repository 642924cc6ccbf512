import { roundToBfloat16 } from '../../domain/bfloat16.ts';
import { type AttentionCall, mapColumns } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { planBuffers } from '../buffers.ts';
import { headGrid, rowGrid } from '../grids.ts';
import { headsOf, keyRuns, kvHeadOf, preparedStrides } from '../heads.ts';
import type { BufferPlan, Job } from '../kernel.ts';
import type { Part, StageProgram } from '../program.ts';
import type { Operands } from '../reference/scores.ts';

/*
 * Queries and keys as operands in bfloat16, for maps and logits, which meet every key with every query: they are rounded
 * once for all and kept, [B, H, L, d] and [B, G, S + E, d].
 */

const QUERY = 'rounded.query';
const KEY = 'rounded.key';

const isRead = ({ returns }: AttentionCall) => returns.weights !== null || returns.logits !== null;

/** The buffers of every kernel, and these two where they are read. */
export function planRoundedBuffers(call: AttentionCall): Record<string, BufferPlan> {
  const buffers = planBuffers(call);
  if (!isRead(call)) return buffers;
  const { batch, heads, kvHeads, queries, headSize } = call.sizes;
  buffers[QUERY] = { type: 'float32', elements: batch * heads * queries * headSize };
  buffers[KEY] = { type: 'float32', elements: batch * kvHeads * mapColumns(call.sizes) * headSize };
  return buffers;
}

/** Fills them, once the heads are there. */
export function roundStage(tileRows: number): StageProgram {
  const query: Part = {
    grid: (call) => headGrid(call, 'query', tileRows),
    flopsPerRow: ({ sizes }) => 4 * sizes.headSize,
    applies: isRead,
    run: roundQueries,
  };
  const key: Part = {
    grid: (call) => rowGrid(call, call.sizes.kvHeads, mapColumns(call.sizes), tileRows),
    flopsPerRow: ({ sizes }) => 4 * sizes.headSize,
    applies: isRead,
    run: roundKeys,
  };
  return { name: 'round', parts: [query, key] };
}

/** What has been rounded for one head. */
export function roundedOperands({ call, memory }: Job, batch: number, head: number): Operands {
  const { keys, headSize: stride } = call.sizes;
  const data = memory[KEY] as RealArray;
  const base = keyBase(call, batch, kvHeadOf(call, head));
  return {
    query: { data: memory[QUERY] as RealArray, ...preparedStrides(call, 'query') },
    keys: [
      { data, base, stride, from: 0, to: keys },
      { data, base: base + keys * stride, stride, from: keys, to: mapColumns(call.sizes) },
    ],
  };
}

/** Where the keys of a key/value head begin. */
function keyBase({ sizes }: AttentionCall, batch: number, kvHead: number): number {
  return (batch * sizes.kvHeads + kvHead) * mapColumns(sizes) * sizes.headSize;
}

function roundQueries(job: Job, batch: number, head: number, from: number, to: number): void {
  const source = headsOf(job, 'query');
  const target = preparedStrides(job.call, 'query');
  const rounded = job.memory[QUERY] as RealArray;
  for (let query = from; query < to; query++) {
    const at = batch * source.batchStride + head * source.headStride + query * source.rowStride;
    const targetAt = batch * target.batchStride + head * target.headStride + query * target.rowStride;
    roundOperands(source.data, at, rounded, targetAt, job.call.sizes.headSize);
  }
}

function roundKeys(job: Job, batch: number, kvHead: number, from: number, to: number): void {
  const size = job.call.sizes.headSize;
  const base = keyBase(job.call, batch, kvHead);
  const rounded = job.memory[KEY] as RealArray;
  for (const run of keyRuns(job, 'key', batch, kvHead)) {
    const last = Math.min(to, run.to);
    for (let key = Math.max(from, run.from); key < last; key++) {
      roundOperands(run.data, run.base + (key - run.from) * run.stride, rounded, base + key * size, size);
    }
  }
}

function roundOperands(from: RealArray, at: number, to: RealArray, toAt: number, size: number): void {
  for (let c = 0; c < size; c++) to[toAt + c] = roundToBfloat16(from[at + c]);
}
