import type { Worker } from 'node:worker_threads';
import { OPERATIONS } from '../contract/operations.ts';
import type { AttentionCall } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import type { Kernel } from '../kernels/kernel.ts';
import { KERNELS } from '../kernels/registry.ts';
import type { Arrival } from './arrival.ts';
import { Dispatcher } from './dispatcher.ts';
import { choiceOf, type KernelChoice } from './kernel-choice.ts';
import { type Logger, SILENT } from './logger.ts';
import { Ticket } from './ticket.ts';

export type { LayerRequest } from './layer-work.ts';
export type { CallRequest } from './request.ts';
export type { Timings } from './steps.ts';
export type { Ticket } from './ticket.ts';

export interface EngineOptions {
  /** Number of worker threads. */
  readonly threads: number;
  readonly limits: Limits;
  /** Name of a kernel that is preferred to all others for the calls that it computes. */
  readonly kernel?: string | undefined;
  readonly logger?: Logger | undefined;
}

interface AdmitOptions {
  readonly deadlineMs?: number | undefined;
  readonly caller?: Arrival['caller'];
}

/** What the engine is doing at the moment, and what has happened since it started. */
export interface EngineStats {
  readonly threads: number;
  readonly threadsUp: number;
  /** Requests admitted and not yet left. */
  readonly requests: number;
  /** Bytes reserved by them. */
  readonly bytes: number;
  /** Jobs not yet settled, or settled with slices still running. */
  readonly jobs: number;
  /** Jobs with work that no worker has taken yet. */
  readonly queuedJobs: number;
  readonly runningSlices: number;
  readonly tilesComputed: number;
  /** Calls of a layer that a worker did at one go with others. */
  readonly callsBatched: number;
  readonly workersLost: number;
}

/**
 * Decodes, computes and encodes in worker threads, within bounds of count, memory and time. A request is admitted
 * with the size of its body, gets a ticket, and does all its work by it.
 */
export class Engine {
  readonly #dispatcher: Dispatcher;
  readonly #choice: KernelChoice;
  #closed: Promise<void> | null = null;

  /** Starts the workers. Throws where there is no kernel of the name. */
  constructor({ threads, limits, kernel, logger = SILENT }: EngineOptions) {
    this.#choice = choiceOf(kernel ?? null);
    this.#dispatcher = new Dispatcher(threads, limits, logger);
  }

  /** Resolves when all workers are up, and this thread too is ready to read a body. */
  ready(): Promise<void> {
    for (const operation of OPERATIONS) operation.compile();
    return this.#dispatcher.ready();
  }

  /**
   * Takes a request in, before its body is read. `bytes` is the size of the body; `deadlineMs` from now, no longer
   * than the limit; `caller` is as in Arrival. Throws a Problem with the time to try again: `over_capacity`, or `stopping`.
   */
  admit(bytes: number, { deadlineMs, caller }: AdmitOptions = {}): Ticket {
    const longest = this.#dispatcher.limits.deadlineMs;
    const lifetimeMs = Math.min(longest, deadlineMs ?? longest);
    return new Ticket(this.#dispatcher, this.#choice, { bytes, lifetimeMs, isErrand: false, caller });
  }

  /**
   * Takes in what requests that have been admitted wait for, and many may together. It takes none of their places: where
   * there is one alone, nobody could be helped. Throws the Problems of `admit`.
   */
  admitErrand(bytes: number): Ticket {
    const lifetimeMs = this.#dispatcher.limits.deadlineMs;
    return new Ticket(this.#dispatcher, this.#choice, { bytes, lifetimeMs, isErrand: true });
  }

  /** The kernel that computes a call. */
  kernelOf(call: AttentionCall): Kernel {
    return this.#choice.of(call);
  }

  /** Every kernel, the preferred ones first. */
  get kernels(): readonly Kernel[] {
    const { forced } = this.#choice;
    return KERNELS.toSorted((a, b) => Number(b.name === forced) - Number(a.name === forced));
  }

  stats(): EngineStats {
    return this.#dispatcher.stats();
  }

  /** The worker threads that are up. */
  get workers(): readonly Worker[] {
    return this.#dispatcher.pool.threads;
  }

  /** Refuses new requests, lets the admitted ones finish, then ends the workers. */
  close(): Promise<void> {
    this.#closed ??= this.#dispatcher.close();
    return this.#closed;
  }
}
