import type { Limits } from '../domain/limits.ts';
import type { Kernel, Plan } from '../kernels/kernel.ts';
import { cancel } from '../kernels/status.ts';
import type { Arrival } from './arrival.ts';
import { AwakeLoop } from './awake-loop.ts';
import { HeldLoop } from './held-loop.ts';
import { Holdings } from './holdings.ts';
import { failureOf, type ItemResult } from './item.ts';
import type { JobReport, JobRequest } from './job.ts';
import type { Logger } from './logger.ts';
import { blockBytes, MemoryPool } from './memory-pool.ts';
import { closeError, refusalProblem } from './outcome.ts';
import { batchOf, endJob, type PendingJob, type TicketEntry } from './pending-job.ts';
import { WorkerPool } from './pool.ts';
import { step } from './scheduler.ts';
import {
  createScheduler,
  type Outcome,
  type SchedulerAction,
  type SchedulerEvent,
  type SchedulerState,
} from './scheduler-state.ts';
import { speedOf } from './slices.ts';
import { computeSpeed, type Shares, sharesOf } from './work.ts';

export type { JobReport, JobRequest } from './job.ts';

const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** Memory kept for coming requests: this part of what all requests together may hold. */
const IDLE_MEMORY_SHARE = 4;

/** Joins the scheduler to the clock and the workers: feeds it events, and carries out its actions. */
export class Dispatcher {
  readonly limits: Limits;
  readonly #awake = new AwakeLoop();
  readonly loop = new HeldLoop(() => this.#awake.idleMs);
  readonly #logger: Logger;
  readonly #scheduler: SchedulerState;
  readonly #pool: WorkerPool;
  readonly #tickets = new Map<number, TicketEntry>();
  readonly #jobs = new Map<number, PendingJob>();
  readonly #holdings: Holdings;
  /** The jobs that each worker has something of. */
  readonly #slices: (readonly number[])[];
  readonly #up = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #nextId = 1;
  #workersLost = 0;
  #tilesComputed = 0;
  #callsBatched = 0;

  constructor(threads: number, limits: Limits, logger: Logger) {
    this.limits = limits;
    this.#logger = logger;
    this.#slices = Array(threads).fill([]);
    this.#holdings = new Holdings(new MemoryPool(limits.queueBytes / IDLE_MEMORY_SHARE));
    this.#scheduler = createScheduler(threads, {
      requests: limits.queueRequests,
      bytes: limits.queueBytes,
      batch: limits.batchCalls,
    });
    this.#pool = new WorkerPool(
      threads,
      {
        ready: (worker) => this.#ready(worker),
        finished: (worker, result) => this.#finished(worker, result),
        lost: (worker) => this.#lost(worker),
      },
      logger,
    );
  }

  /** Resolves when all workers are up. */
  ready(): Promise<void> {
    return this.#up.promise;
  }

  /** Lets the admitted requests finish, then ends the workers. */
  async close(): Promise<void> {
    this.#dispatch({ kind: 'drain' });
    await this.#drained.promise;
    clearTimeout(this.#timer);
    await this.#pool.close();
  }

  stats() {
    const { workers, tickets, bytes, runnable, jobs } = this.#scheduler;
    return {
      threads: workers.length,
      threadsUp: workers.filter(({ phase }) => phase === 'idle' || phase === 'busy').length,
      requests: tickets.size,
      bytes,
      jobs: jobs.size,
      queuedJobs: runnable.length,
      runningSlices: workers.filter(({ slice }) => slice !== null).length,
      tilesComputed: this.#tilesComputed,
      callsBatched: this.#callsBatched,
      workersLost: this.#workersLost,
    };
  }

  /** Workers that have nothing to do. */
  get idleWorkers(): number {
    return this.#scheduler.workers.filter(({ phase }) => phase === 'idle').length;
  }

  /** Threads that have nothing to do, for the helpers of one that computes, which is not among them. */
  get idleThreads(): number {
    return Math.min(this.idleWorkers, this.#scheduler.workers.length - 1);
  }

  /** Whether requests come one at a time; to be asked once for each that the loop could compute. */
  isQuiet(): boolean {
    return this.loop.isQuiet(this.#tickets.size);
  }

  get pool(): WorkerPool {
    return this.#pool;
  }

  /** Takes a request in, or an errand. Throws a Problem, `over_capacity` or `stopping`, where there is no room. */
  admit({ bytes, lifetimeMs, isErrand, caller }: Arrival): { id: number; signal: AbortSignal } {
    const id = this.#nextId++;
    const admittedMs = performance.now();
    const deadlineMs = admittedMs + lifetimeMs;
    const actions = this.#dispatch({ kind: 'admit', ticket: id, bytes, deadlineMs, isErrand });
    this.#throwIfRefused(actions, bytes);
    if (this.#tickets.size === 0) this.#awake.came(admittedMs);
    this.loop.came(caller);
    const controller = new AbortController();
    this.#tickets.set(id, { admittedMs, lifetimeMs, controller });
    return { id, signal: controller.signal };
  }

  /** Books more bytes for a request. Throws a Problem, `over_capacity`, where there is no room. */
  reserve(ticket: number, bytes: number): void {
    this.#throwIfRefused(this.#dispatch({ kind: 'reserve', ticket, bytes }), bytes);
  }

  /**
   * Books a block of shared memory and hands it out, holding anything; it goes back when the request is released and
   * nothing of it is running. `booked` bytes of it are booked already. Throws a Problem, `over_capacity`.
   */
  takeMemory(ticket: number, bytes: number, booked = 0): SharedArrayBuffer {
    this.reserve(ticket, blockBytes(bytes) - booked);
    return this.#holdings.take(ticket, bytes);
  }

  /** Resolves when a request has been released and no worker touches anything of it any more. */
  departure(ticket: number): Promise<void> {
    return this.#scheduler.tickets.has(ticket) ? this.#holdings.departure(ticket) : Promise.resolve();
  }

  /** Into how many parts a job is divided; see `sharesOf` in work.ts. */
  sharesOf(kernel: Kernel, plan: Plan): Shares {
    const { length: threads } = this.#scheduler.workers;
    return sharesOf(kernel, plan, this.idleWorkers, threads, this.flopsPerMs(kernel.name));
  }

  /** The measured speed of one thread with this kernel, in floating-point operations per millisecond. */
  flopsPerMs(kernel: string): number {
    return speedOf(this.#scheduler, computeSpeed(kernel));
  }

  /** Learns the speed of a kernel from a call that was computed outside the workers. */
  measured(kernel: string, flops: number, runMs: number): void {
    this.#dispatch({ kind: 'measured', work: computeSpeed(kernel), cost: flops, runMs });
  }

  /** Ends a request this long after its admission, where that is sooner than its deadline. */
  hasten(ticket: number, lifetimeMs: number): void {
    const entry = this.#tickets.get(ticket);
    if (entry === undefined || lifetimeMs >= entry.lifetimeMs) return;
    entry.lifetimeMs = lifetimeMs;
    this.#dispatch({ kind: 'hasten', ticket, deadlineMs: entry.admittedMs + lifetimeMs });
  }

  cancel(ticket: number): void {
    this.#dispatch({ kind: 'cancel', ticket });
  }

  release(ticket: number): void {
    this.#dispatch({ kind: 'release', ticket });
    const isLast = this.#tickets.delete(ticket) && this.#tickets.size === 0;
    if (isLast) this.#awake.left(performance.now());
  }

  /** Has the workers do a job. Rejects with what it threw, or with the Problem that ended it. */
  submit(ticketId: number, request: JobRequest): Promise<JobReport> {
    const ticket = this.#tickets.get(ticketId);
    if (ticket === undefined) return Promise.reject(new Error('The request was released already.'));
    const { promise, resolve, reject } = Promise.withResolvers<JobReport>();
    const job = this.#nextId++;
    const submittedMs = performance.now();
    this.#jobs.set(job, { request, ticket, submittedMs, startedMs: null, result: null, resolve, reject });
    this.#dispatch({ kind: 'submit', ticket: ticketId, job, work: request.work });
    return promise;
  }

  #dispatch(event: SchedulerEvent): readonly SchedulerAction[] {
    const actions = step(this.#scheduler, event, performance.now());
    for (const action of actions) this.#carryOut(action);
    return actions;
  }

  #carryOut(action: SchedulerAction): void {
    switch (action.kind) {
      case 'start': {
        const { worker, stage, fromTile, toTile } = action;
        const ids = [action.job, ...action.companions];
        const startedMs = performance.now();
        const items = ids.map((id) => {
          const job = this.#jobs.get(id)!;
          job.startedMs ??= startedMs;
          return job.request.item(id, stage, fromTile, toTile);
        });
        this.#slices[worker] = ids;
        this.#pool.start(worker, items.length === 1 ? items[0] : batchOf(items));
        break;
      }
      case 'halt': {
        const status = this.#jobs.get(action.job)?.request.status;
        if (status) cancel(status);
        break;
      }
      case 'settle':
        this.#settle(action.job, action.outcome);
        break;
      case 'abort': {
        const ticket = this.#tickets.get(action.ticket)!;
        ticket.controller.abort(closeError(action.reason, ticket.lifetimeMs));
        break;
      }
      case 'left':
        this.#holdings.leave(action.ticket);
        break;
      case 'terminate':
        this.#logger.error(
          { worker: action.worker },
          'A worker does not come back from its work and is ended.',
        );
        this.#pool.terminate(action.worker);
        break;
      case 'wake':
        this.#wakeAt(action.atMs);
        break;
      case 'drained':
        this.#drained.resolve();
    }
  }

  #wakeAt(atMs: number): void {
    clearTimeout(this.#timer);
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(atMs - performance.now())));
    this.#timer = setTimeout(() => this.#dispatch({ kind: 'tick' }), delayMs);
    this.#timer.unref();
  }

  #ready(worker: number): void {
    this.#dispatch({ kind: 'ready', worker });
    if (this.#scheduler.workers.every(({ phase }) => phase !== 'down')) this.#up.resolve();
  }

  #finished(worker: number, result: ItemResult): void {
    const ids = this.#slices[worker];
    const results = result.kind === 'batch' ? result.results : ids.map(() => result);
    this.#slices[worker] = [];
    for (const [index, id] of ids.entries()) {
      const job = this.#jobs.get(id);
      if (job !== undefined) job.result = results[index];
    }
    if (result.kind === 'batch') this.#callsBatched += ids.length;
    if (result.kind === 'computed') this.#tilesComputed += result.tiles;
    const report = {
      runMs: 'runMs' in result ? result.runMs : undefined,
      ...(result.kind === 'computed' ? { cost: result.flops, isComplete: result.isComplete } : {}),
    };
    const failed = ids.filter((_, index) => failureOf(results[index]) !== null);
    this.#dispatch({ kind: 'finished', worker, failed, ...report });
  }

  #lost(worker: number): void {
    this.#workersLost++;
    this.#slices[worker] = [];
    this.#dispatch({ kind: 'lost', worker });
  }

  #settle(id: number, outcome: Outcome): void {
    const job = this.#jobs.get(id)!;
    this.#jobs.delete(id);
    endJob(job, outcome);
  }

  #throwIfRefused(actions: readonly SchedulerAction[], bytes: number): void {
    const refusal = actions.find((action) => action.kind === 'refuse');
    if (refusal !== undefined) throw refusalProblem(refusal, bytes, this.#scheduler.bytes, this.limits);
  }
}
