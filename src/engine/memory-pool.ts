/** Smaller blocks are quick to make and not worth keeping. */
const SMALLEST_BYTES = 4 * 1024;
/** Sizes between a power of two and the next: rounding up wastes at most a quarter. */
const STEPS = 4;

/**
 * Shared memory that goes from one request to the next. A new block costs the zeroing of its pages at their first
 * touch, which for a layer of ordinary size takes a good part of the time of its arithmetic; a block that has been
 * used has its pages. So a block comes with whatever its last user left in it.
 */
export class MemoryPool {
  readonly #idle = new Map<number, SharedArrayBuffer[]>();
  readonly #idleBytesMax: number;
  #idleBytes = 0;

  constructor(idleBytesMax: number) {
    this.#idleBytesMax = idleBytesMax;
  }

  /** Bytes of the blocks that wait for their next use. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** A block of at least `bytes`. */
  take(bytes: number): SharedArrayBuffer {
    const size = blockBytes(bytes);
    const block = this.#idle.get(size)?.pop();
    if (block === undefined) return new SharedArrayBuffer(size);
    this.#idleBytes -= size;
    return block;
  }

  /** Takes a block back that nobody reads or writes any more; drops it where enough are idle. */
  give(block: SharedArrayBuffer): void {
    const size = block.byteLength;
    if (size < SMALLEST_BYTES || this.#idleBytes + size > this.#idleBytesMax) return;
    const blocks = this.#idle.get(size);
    if (blocks === undefined) this.#idle.set(size, [block]);
    else blocks.push(block);
    this.#idleBytes += size;
  }
}

/** The size of the block that is made for so many bytes. */
export function blockBytes(bytes: number): number {
  if (bytes < SMALLEST_BYTES) return bytes;
  const power = 2 ** Math.floor(Math.log2(bytes));
  const step = power / STEPS;
  return Math.ceil(bytes / step) * step;
}
