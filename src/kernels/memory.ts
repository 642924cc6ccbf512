import type { RealArray } from '../domain/tensor.ts';
import type { BufferPlan, Memory, Plan } from './kernel.ts';

/** Buffers begin at multiples of a cache line, so that no two of them share one. */
const LINE_BYTES = 64;

/** Bytes of the memory that a plan asks for. */
export function planBytes(plan: Plan): number {
  return Object.values(plan.buffers).reduce((sum, buffer) => sum + wholeLines(buffer), 0);
}

/**
 * The buffers of a plan in one block of shared memory, which is one to make and one to send to a thread. Kernels write
 * before they read: the block may hold anything.
 */
export function allocate(plan: Plan, block = new SharedArrayBuffer(planBytes(plan))): Memory {
  let offset = 0;
  return Object.fromEntries(
    Object.entries(plan.buffers).map(([name, buffer]) => {
      const view = viewOf(block, offset, buffer);
      offset += wholeLines(buffer);
      return [name, view];
    }),
  );
}

function viewOf(
  block: SharedArrayBuffer,
  offset: number,
  { type, elements }: BufferPlan,
): RealArray | Int32Array {
  if (type === 'float32') return new Float32Array(block, offset, elements);
  return type === 'float64'
    ? new Float64Array(block, offset, elements)
    : new Int32Array(block, offset, elements);
}

function wholeLines({ type, elements }: BufferPlan): number {
  return Math.ceil((elements * (type === 'float64' ? 8 : 4)) / LINE_BYTES) * LINE_BYTES;
}
