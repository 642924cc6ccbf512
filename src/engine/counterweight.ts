import type { Job } from '../kernels/kernel.ts';

/** Smaller buffers are not worth a counterweight: thousands of them die with an ordinary collection. */
const SMALLEST_BYTES = 4096;

const counterweights = new WeakMap<SharedArrayBuffer, Uint8Array>();

/**
 * Makes the garbage collector of this thread feel the shared memory that `value`, plain data, refers to.
 *
 * V8 counts no shared memory when it decides whether to collect, so that gigabytes of it would wait behind a few
 * kilobytes of dead objects. Each shared buffer gets a counterweight of its size, which is counted, lives as long,
 * and never takes real memory: nothing touches its pages. Every thread that holds a buffer has to weigh it. Memory of
 * the pool must not be weighed: it comes with every message as another object, and collecting those frees nothing.
 */
export function weigh(value: unknown, smallestBytes = SMALLEST_BYTES): void {
  if (typeof value !== 'object' || value === null) return;
  if (ArrayBuffer.isView(value)) {
    const { buffer } = value;
    if (!(buffer instanceof SharedArrayBuffer) || buffer.byteLength < smallestBytes) return;
    if (!counterweights.has(buffer)) {
      counterweights.set(buffer, Buffer.allocUnsafeSlow(buffer.byteLength));
    }
  } else if (isKept(value)) {
    return;
  } else if (!Array.isArray(value) || typeof value[0] === 'object') {
    for (const member of Object.values(value)) weigh(member, smallestBytes);
  }
}

/** The weights of a registered layer: they stay, and whoever keeps them weighs them once. */
function isKept(value: object): boolean {
  return 'isKept' in value && value.isKept === true;
}

/** Job memory that the pool may not keep is weighed; what it keeps stays in use, and weighing it would only cost. */
export const LARGE_JOB_BYTES = 128 * 1024 * 1024;

/** Weighs what a job refers to, its call where that has memory of its own. */
export function weighJob({ call, memory }: Pick<Job, 'call' | 'memory'>, isFresh: boolean): void {
  if (isFresh) weigh(call);
  weigh(memory, LARGE_JOB_BYTES);
}
