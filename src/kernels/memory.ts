import { allocateReal } from '../domain/tensor.ts';
import type { BufferPlan, Memory, Plan } from './kernel.ts';

/** Bytes of the memory that a plan asks for. */
export function planBytes(plan: Plan): number {
  return Object.values(plan.buffers).reduce(
    (sum, { type, elements }) => sum + elements * (type === 'float64' ? 8 : 4),
    0,
  );
}

/** Zeroed shared memory for a plan. */
export function allocate(plan: Plan): Memory {
  return Object.fromEntries(
    Object.entries(plan.buffers).map(([name, buffer]) => [name, allocateBuffer(buffer)]),
  );
}

function allocateBuffer({ type, elements }: BufferPlan) {
  return type === 'int32'
    ? new Int32Array(new SharedArrayBuffer(elements * 4))
    : allocateReal(type, elements);
}
