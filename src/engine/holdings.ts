import type { MemoryPool } from './memory-pool.ts';

/** What requests hold until nothing of them is running any more, which may be a while after their release. */
export class Holdings {
  readonly #memory: MemoryPool;
  readonly #blocks = new Map<number, SharedArrayBuffer[]>();
  readonly #departures = new Map<number, PromiseWithResolvers<void>>();

  constructor(memory: MemoryPool) {
    this.#memory = memory;
  }

  /** A block of the pool for a request, which may hold anything. */
  take(ticket: number, bytes: number): SharedArrayBuffer {
    const block = this.#memory.take(bytes);
    const blocks = this.#blocks.get(ticket);
    if (blocks === undefined) this.#blocks.set(ticket, [block]);
    else blocks.push(block);
    return block;
  }

  /** Resolves when a request has left that has not yet. */
  departure(ticket: number): Promise<void> {
    const departure = this.#departures.get(ticket) ?? Promise.withResolvers<void>();
    this.#departures.set(ticket, departure);
    return departure.promise;
  }

  /** Gives back what a request holds that has been released and has nothing running. */
  leave(ticket: number): void {
    for (const block of this.#blocks.get(ticket) ?? []) this.#memory.give(block);
    this.#blocks.delete(ticket);
    this.#departures.get(ticket)?.resolve();
    this.#departures.delete(ticket);
  }
}
