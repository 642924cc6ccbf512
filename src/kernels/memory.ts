import type { Precision, RealArray } from '../domain/tensor.ts';
import type { BufferPlan, Memory, Plan } from './kernel.ts';
import { loadAddon } from './native/addon.ts';

/**
 * Memory comes to the processor in lines. A buffer that begins with one shares none with another buffer, and no vector
 * of its rows lies across two: loads of those take twice as long.
 */
const LINE_BYTES = 64;

const native = loadAddon();

/** Bytes of the memory that a plan asks for. */
export function planBytes(plan: Plan): number {
  const bytes = Object.values(plan.buffers).reduce((sum, buffer) => sum + wholeLines(buffer), 0);
  return bytes + LINE_BYTES;
}

/**
 * The buffers of a plan in one block of shared memory, which is one to make and one to send to a thread. Kernels write
 * before they read: the block may hold anything.
 */
export function allocate(plan: Plan, block = new SharedArrayBuffer(planBytes(plan))): Memory {
  let offset = bytesToLine(block);
  return Object.fromEntries(
    Object.entries(plan.buffers).map(([name, buffer]) => {
      const view = viewOf(block, offset, buffer);
      offset += wholeLines(buffer);
      return [name, view];
    }),
  );
}

/** Zeroed real numbers on shared memory that begins with a line: what kernels read again and again. `count` elements. */
export function allocateLines(precision: Precision, count: number): RealArray {
  const type = precision === 'float64' ? 'float64' : 'float32';
  const buffer: BufferPlan = { type, elements: count };
  const block = new SharedArrayBuffer(wholeLines(buffer) + LINE_BYTES);
  return viewOf(block, bytesToLine(block), buffer) as RealArray;
}

/** Bytes before the first whole line of a block; 0 where only the addon could tell, and is not there. */
function bytesToLine(block: SharedArrayBuffer): number {
  if (!('addon' in native)) return 0;
  return -native.addon.placeInLine(new Uint8Array(block)) & (LINE_BYTES - 1);
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
