import type { Dispatcher, JobReport, JobRequest } from './dispatcher.ts';
import type { Item } from './item.ts';
import type { Work } from './scheduler-state.ts';

/** Milliseconds that a request has spent, for Server-Timing. `queueMs` is the waiting of all its steps. */
export interface Timings {
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly computeMs: number;
  readonly encodeMs: number;
}

/** The steps of one request, on this thread or by way of the workers, and how long each took. */
export class Steps {
  readonly timings = { decodeMs: 0, queueMs: 0, computeMs: 0, encodeMs: 0 };
  readonly #dispatcher: Dispatcher;
  readonly #ticket: number;

  constructor(dispatcher: Dispatcher, ticket: number) {
    this.#dispatcher = dispatcher;
    this.#ticket = ticket;
  }

  /** Does a step at once, on this thread. */
  inline<Result>(step: keyof Timings, run: () => Result): Result {
    const startedMs = performance.now();
    try {
      return run();
    } finally {
      this.timings[step] += performance.now() - startedMs;
    }
  }

  /** Memory that goes back when the request is released, holding anything. Throws a Problem, `over_capacity`. */
  takeMemory(bytes: number): SharedArrayBuffer {
    return this.#dispatcher.takeMemory(this.#ticket, bytes);
  }

  /** Books bytes besides. Throws a Problem, `over_capacity`. */
  reserve(bytes: number): void {
    this.#dispatcher.reserve(this.#ticket, bytes);
  }

  /** Has the workers do a job. Rejects with what it threw, or with the Problem that ended it. */
  submit(request: JobRequest): Promise<JobReport> {
    return this.#dispatcher.submit(this.#ticket, request);
  }

  /** Has a worker do one thing, from its beginning to its end. */
  task(work: Work, item: () => Item): Promise<JobReport> {
    return this.submit({ work, item, status: null });
  }

  /** Books what a job took as a step. */
  timed(step: keyof Timings, report: JobReport): JobReport {
    this.timings.queueMs += report.queueMs;
    this.timings[step] += report.runMs;
    return report;
  }
}
