import assert from 'node:assert/strict';
import type {
  Capacity,
  CloseReason,
  Outcome,
  SchedulerAction,
  Work,
} from '../../src/engine/scheduler-state.ts';

/** Slices here take far less than a twentieth of it by estimate, so that this is the limit of each. */
export const WATCHDOG_MS = 10_000;

type Start = Extract<SchedulerAction, { kind: 'start' }>;

interface TicketRecord {
  deadlineMs: number;
  bytes: number;
  released: boolean;
  left: boolean;
  ended: boolean;
  aborts: number;
  running: number;
}

export interface JobRecord {
  readonly id: number;
  readonly ticket: TicketRecord;
  readonly work: Work;
  /** [stage][tile]: how often the tile was handed out, and how often it came back computed. */
  readonly given: Uint8Array[];
  readonly computed: Uint8Array[];
  outcome: Outcome | null;
  halted: boolean;
  /** A worker has said that nothing is left to do. */
  complete: boolean;
  running: number;
  lostSlice: boolean;
  failedSlice: boolean;
  started: boolean;
  /** Slices that may still be handed out before this job's next one; null while it has none to give. */
  ahead: number | null;
}

/**
 * Keeps its own books of what the scheduler was told and what it did, and refuses what must never happen:
 * a second settlement, two slices on one worker but of one batch, a tile twice, a start after the end, one byte over the limit.
 */
export class Ledger {
  readonly tickets = new Map<number, TicketRecord>();
  readonly jobs = new Map<number, JobRecord>();
  readonly slices: (Start | null)[];
  readonly #startedMs: number[];
  readonly alive: boolean[];
  readonly #capacity: Capacity;
  #lastStarted = -1;
  draining = false;
  drained = 0;

  constructor(workers: number, capacity: Capacity) {
    this.slices = Array(workers).fill(null);
    this.alive = Array(workers).fill(false);
    this.#startedMs = Array(workers).fill(0);
    this.#capacity = capacity;
  }

  get bytes(): number {
    let sum = 0;
    for (const ticket of this.tickets.values()) sum += ticket.bytes;
    return sum;
  }

  /** Judges a refusal or a grant of `bytes` more, before it is booked. */
  judge(refusal: SchedulerAction | undefined, bytes: number, newTicket: boolean): void {
    const full = newTicket && this.tickets.size >= this.#capacity.requests;
    const expected = (newTicket && this.draining) || full || this.bytes + bytes > this.#capacity.bytes;
    assert.equal(refusal !== undefined, expected, 'refused exactly when there is no room');
    if (refusal?.kind !== 'refuse') return;
    assert(Number.isInteger(refusal.retryAfterSeconds) && refusal.retryAfterSeconds >= 1);
    if (newTicket) assert.equal(refusal.reason === 'stopping', this.draining);
  }

  admitted(id: number, bytes: number, deadlineMs: number): void {
    this.tickets.set(id, {
      deadlineMs,
      bytes,
      released: false,
      left: false,
      ended: false,
      aborts: 0,
      running: 0,
    });
  }

  hastened(id: number, deadlineMs: number): void {
    const ticket = this.tickets.get(id);
    if (ticket === undefined || ticket.ended || ticket.released) return;
    ticket.deadlineMs = Math.min(ticket.deadlineMs, deadlineMs);
  }

  submitted(id: number, ticket: TicketRecord, work: Work): void {
    const tables = () => work.stages.map(({ tiles }) => new Uint8Array(tiles));
    const job: JobRecord = {
      id,
      ticket,
      work,
      given: tables(),
      computed: tables(),
      outcome: null,
      halted: false,
      complete: false,
      running: 0,
      lostSlice: false,
      failedSlice: false,
      started: false,
      ahead: null,
    };
    this.jobs.set(id, job);
    this.#queue(job);
  }

  started(start: Start, nowMs: number): void {
    const job = this.jobs.get(start.job)!;
    assert(this.alive[start.worker], 'only a live worker is given work');
    assert.equal(this.slices[start.worker], null, 'one slice a worker');
    assert.equal(job.outcome, null, 'nothing starts after the job has settled');
    assert(nowMs < job.ticket.deadlineMs, 'nothing starts after the deadline');
    assert(start.fromTile < start.toTile && start.toTile <= job.work.stages[start.stage].tiles);
    for (let stage = 0; stage < start.stage; stage++) assert(all(job.computed[stage]), 'stages in order');
    for (let tile = start.fromTile; tile < start.toTile; tile++) job.given[start.stage][tile]++;
    if (!job.started) {
      assert(job.id > this.#lastStarted, 'jobs start in the order in which they came');
      this.#lastStarted = job.id;
      job.started = true;
    }
    assert(job.ahead !== null, 'the job had something to give');
    job.ahead = null;
    for (const other of this.jobs.values()) {
      if (other.ahead === null || other.outcome !== null) continue;
      assert(--other.ahead >= 0, `job ${other.id} was passed over`);
    }
    for (const id of start.companions) this.#joined(id, job, nowMs);
    this.slices[start.worker] = start;
    this.#startedMs[start.worker] = nowMs;
    job.running++;
    job.ticket.running++;
    if (start.toTile < job.work.stages[start.stage].tiles) this.#queue(job);
  }

  /** Books a job that is done at one go with the one whose turn it is. */
  #joined(id: number, leader: JobRecord, nowMs: number): void {
    const job = this.jobs.get(id)!;
    assert(job.work.batch !== undefined && job.work.batch === leader.work.batch, 'of one batch');
    assert(job !== leader && job.ahead !== null && job.outcome === null, 'the job had something to give');
    assert(nowMs < job.ticket.deadlineMs, 'nothing starts after the deadline');
    job.given[0][0]++;
    job.started = true;
    job.ahead = null;
    job.running++;
    job.ticket.running++;
  }

  /** The jobs that a worker has something of, the one whose turn it was first. */
  held(worker: number): JobRecord[] {
    const { job, companions } = this.slices[worker]!;
    return [job, ...companions].map((id) => this.jobs.get(id)!);
  }

  /** Books a slice that came back; jobs that failed or were halted count no tiles. */
  finished(worker: number, incomplete: readonly JobRecord[], isComplete: boolean): void {
    const jobs = this.#takeBack(worker);
    const slice = this.slices[worker]!;
    this.slices[worker] = null;
    for (const job of jobs) {
      if (incomplete.includes(job)) {
        job.failedSlice ||= job.outcome === null;
        continue;
      }
      for (let tile = slice.fromTile; tile < slice.toTile; tile++) job.computed[slice.stage][tile]++;
      if (isComplete && job.outcome === null) job.complete = true;
      const more = !job.complete && job.computed.some((stage) => !all(stage));
      if (job.outcome === null && job.ahead === null && job.running === 0 && more) this.#queue(job);
    }
  }

  aborted(id: number, reason: CloseReason, nowMs: number): void {
    const ticket = this.tickets.get(id)!;
    assert.equal(++ticket.aborts, 1, 'a ticket is aborted once');
    if (reason === 'deadline') assert.equal(nowMs, ticket.deadlineMs, 'on time');
    ticket.ended = true;
  }

  /** Books the end of a worker that does not come back; it gets no more work. */
  ending(worker: number, nowMs: number): void {
    assert(this.slices[worker] !== null && this.alive[worker]);
    assert.equal(nowMs, this.#startedMs[worker] + WATCHDOG_MS, 'a hanging worker is given up on time');
    this.alive[worker] = false;
  }

  lost(worker: number): void {
    this.alive[worker] = false;
    if (this.slices[worker] === null) return;
    for (const job of this.#takeBack(worker)) job.lostSlice = true;
    this.slices[worker] = null;
  }

  halted(id: number): void {
    const job = this.jobs.get(id)!;
    assert(job.running > 0 && !job.halted && job.outcome === null);
    job.halted = true;
  }

  settled(id: number, outcome: Outcome, nowMs: number): void {
    const job = this.jobs.get(id)!;
    assert.equal(job.outcome, null, 'a job settles once');
    assert.equal(job.halted, job.running > 0, 'exactly the running ones are halted');
    job.outcome = outcome;
    if (outcome === 'done') {
      assert(!job.ticket.ended, 'a cancelled job never reports success');
      const ranAll = job.computed.every(all) && job.given.every(all);
      assert(ranAll || job.complete, 'every tile ran exactly once, or a worker says that nothing is left');
    }
    if (job.complete) assert.equal(outcome, 'done', 'and then it is done at once');
    assert.equal(outcome === 'worker_lost', job.lostSlice, 'worker_lost is for the jobs of the lost worker');
    assert.equal(outcome === 'failed', job.failedSlice);
    if (outcome === 'deadline') assert(nowMs >= job.ticket.deadlineMs);
    if (outcome === 'cancelled') assert(job.ticket.ended);
  }

  /** Books that the memory of a ticket is free. */
  left(id: number): void {
    const ticket = this.tickets.get(id)!;
    assert(!ticket.left, 'memory is freed once');
    assert(ticket.released && ticket.running === 0, 'memory is freed when nobody touches it any more');
    ticket.left = true;
  }

  /** Drops the tickets that must be gone: released, and no slice of them running. */
  sweep(): void {
    for (const [id, ticket] of this.tickets) {
      if (!ticket.released || ticket.running > 0) continue;
      assert(ticket.left, 'and then it is freed');
      this.tickets.delete(id);
    }
  }

  /** No worker idles beside work that could start. */
  conservesWork(nowMs: number): void {
    if (!this.slices.some((slice, worker) => slice === null && this.alive[worker])) return;
    for (const { ahead, outcome, ticket } of this.jobs.values()) {
      assert(ahead === null || outcome !== null || nowMs >= ticket.deadlineMs, 'no worker idles beside work');
    }
  }

  #queue(job: JobRecord): void {
    let others = 0;
    for (const { ahead, outcome } of this.jobs.values()) if (ahead !== null && outcome === null) others++;
    job.ahead = job.work.stages.some(({ tiles }) => tiles > 0) ? others : null;
  }

  #takeBack(worker: number): JobRecord[] {
    const jobs = this.held(worker);
    for (const job of jobs) {
      job.running--;
      job.ticket.running--;
    }
    return jobs;
  }
}

function all(counts: Uint8Array): boolean {
  return counts.every((count) => count === 1);
}
