import assert from 'node:assert/strict';
import { step } from '../../src/engine/scheduler.ts';
import {
  type Capacity,
  createScheduler,
  type SchedulerAction,
  type SchedulerEvent,
  type SchedulerState,
  type Work,
} from '../../src/engine/scheduler-state.ts';
import { type JobRecord, Ledger, WATCHDOG_MS } from './ledger.ts';
import { Random } from './random.ts';
import { Timeline } from './timeline.ts';

const CAPACITY: Capacity = { requests: 6, bytes: 1000, batch: 3 };

/** How a simulated history went, so that a test can see that every kind of thing happens in it. */
export type Tally = Record<string, number>;

/**
 * One random history around the real scheduler: callers that come, ask for more, give up and leave; workers that
 * are slow, die, hang and come back; an operator who stops the service. Everything follows from the seed.
 */
export class World {
  readonly state: SchedulerState;
  readonly ledger: Ledger;
  readonly tally: Tally = {};
  readonly #random: Random;
  readonly #time = new Timeline();
  readonly #onSettle = new Map<number, () => void>();
  readonly #onAbort = new Map<number, () => void>();
  /** Counts the lives of each worker, so that what a dead one had planned does not happen. */
  readonly #lives: number[];
  #wake = 0;
  #jobs = 0;
  #deadly: boolean;

  constructor(seed: number) {
    this.#random = new Random(seed);
    const workers = this.#random.integer(1, 4);
    this.state = createScheduler(workers, CAPACITY);
    this.ledger = new Ledger(workers, CAPACITY);
    this.#lives = Array(workers).fill(0);
    this.#deadly = this.#random.chance(0.5);
    for (let worker = 0; worker < workers; worker++) this.#boot(worker);
    const callers = this.#random.integer(1, 14);
    for (let ticket = 0; ticket < callers; ticket++) {
      this.#time.at(this.#random.integer(0, 60), () => this.#arrive(ticket));
    }
    if (this.#random.chance(0.3)) this.#time.at(this.#random.integer(0, 90), () => this.#drain());
  }

  /** Runs to the end of the history, and checks that nothing is left behind. */
  run(): void {
    while (this.#time.next());
    this.#time.nowMs++;
    if (!this.ledger.draining) this.#drain();
    assert.equal(this.ledger.drained, 1, 'drained once');
    for (const job of this.ledger.jobs.values()) assert.notEqual(job.outcome, null, `job ${job.id} settled`);
    const { bytes, tickets, jobs, runnable } = this.state;
    assert.deepEqual([bytes, tickets.size, jobs.size, runnable.length], [0, 0, 0, 0], 'drained means empty');
  }

  #step(event: SchedulerEvent): SchedulerAction[] {
    const { nowMs } = this.#time;
    const actions = step(this.state, event, nowMs);
    const { ledger } = this;
    if (event.kind === 'admit') {
      const refusal = actions.find(({ kind }) => kind === 'refuse');
      ledger.judge(refusal, event.bytes, true);
      if (refusal === undefined) ledger.admitted(event.ticket, event.bytes, event.deadlineMs);
    }
    for (const action of actions) this.#carryOut(action);
    ledger.sweep();
    ledger.conservesWork(nowMs);
    assert.equal(this.state.bytes, ledger.bytes);
    assert.equal(this.state.tickets.size, ledger.tickets.size);
    assert(this.state.bytes <= CAPACITY.bytes && this.state.tickets.size <= CAPACITY.requests);
    return actions;
  }

  #carryOut(action: SchedulerAction): void {
    const { nowMs } = this.#time;
    switch (action.kind) {
      case 'start':
        this.ledger.started(action, nowMs);
        this.#work(action);
        break;
      case 'halt':
        this.ledger.halted(action.job);
        break;
      case 'settle':
        this.#count(action.outcome);
        this.ledger.settled(action.job, action.outcome, nowMs);
        this.#time.at(nowMs, () => this.#onSettle.get(action.job)?.());
        break;
      case 'abort':
        this.ledger.aborted(action.ticket, action.reason, nowMs);
        this.#time.at(nowMs, () => this.#onAbort.get(action.ticket)?.());
        break;
      case 'terminate': {
        this.#count('terminate');
        this.ledger.ending(action.worker, nowMs);
        const life = this.#lives[action.worker];
        this.#time.in(this.#random.integer(0, 2), () => this.#die(action.worker, life));
        break;
      }
      case 'wake': {
        const wake = ++this.#wake;
        this.#time.at(action.atMs, () => {
          if (wake === this.#wake) this.#step({ kind: 'tick' });
        });
        break;
      }
      case 'left':
        this.ledger.left(action.ticket);
        break;
      case 'refuse':
        this.#count(`refuse ${action.reason}`);
        break;
      case 'drained':
        this.ledger.drained++;
    }
  }

  #arrive(ticket: number): void {
    const { nowMs } = this.#time;
    const bytes = this.#random.integer(0, 300);
    const deadlineMs = nowMs + (this.#random.chance(0.3) ? this.#random.integer(0, 20) : 30_000);
    if (this.#step({ kind: 'admit', ticket, bytes, deadlineMs }).some(({ kind }) => kind === 'refuse'))
      return;
    if (this.#random.chance(0.2)) this.#time.in(this.#random.integer(0, 30), () => this.#cancel(ticket));
    if (this.#random.chance(0.2)) this.#time.in(this.#random.integer(0, 10), () => this.#hasten(ticket));
    if (this.#random.chance(0.1)) this.#time.in(this.#random.integer(0, 30), () => this.#release(ticket));
    let left = this.#random.integer(1, 3);
    const proceed = () => {
      if (left-- === 0) return this.#release(ticket);
      if (this.#random.chance(0.5) && !this.#reserve(ticket)) return this.#release(ticket);
      this.#submit(ticket, () => this.#time.in(this.#random.integer(0, 3), proceed));
      if (this.#random.chance(0.2)) this.#submit(ticket, () => {});
    };
    this.#onAbort.set(ticket, () => this.#time.in(this.#random.integer(0, 3), () => this.#release(ticket)));
    proceed();
  }

  #reserve(ticket: number): boolean {
    const record = this.ledger.tickets.get(ticket);
    if (record === undefined || record.released) return false;
    const bytes = this.#random.integer(0, 300);
    const booked = this.ledger.bytes;
    const refusal = step(this.state, { kind: 'reserve', ticket, bytes }, this.#time.nowMs)[0];
    assert.equal(this.ledger.bytes, booked);
    this.ledger.judge(refusal, bytes, false);
    if (refusal === undefined) record.bytes += bytes;
    return refusal === undefined;
  }

  #submit(ticket: number, onSettle: () => void): void {
    const job = this.#jobs++;
    const record = this.ledger.tickets.get(ticket);
    const work = this.#randomWork();
    this.#onSettle.set(job, onSettle);
    if (record === undefined || record.released) {
      const actions = step(this.state, { kind: 'submit', ticket, job, work }, this.#time.nowMs);
      const outcome =
        record?.aborts === 1 && this.state.tickets.get(ticket)?.closed === 'deadline'
          ? 'deadline'
          : 'cancelled';
      assert.deepEqual(actions, [{ kind: 'settle', job, outcome }]);
      return;
    }
    this.ledger.submitted(job, record, work);
    this.#step({ kind: 'submit', ticket, job, work });
  }

  #randomWork(): Work {
    if (this.#random.chance(0.4)) {
      const stages = [{ tiles: 1, costPerTile: this.#random.integer(0, 3) }];
      const batch = this.#random.chance(0.7) ? 'one layer' : 'another';
      return { kind: 'batched', assumedSpeed: 1, stages, batch };
    }
    if (this.#random.chance(0.2)) {
      const stages = [{ tiles: this.#random.integer(1, 4), costPerTile: this.#random.integer(1, 9) }];
      return { kind: 'shared', assumedSpeed: 1, stages };
    }
    const stages = Array.from({ length: this.#random.integer(1, 3) }, () => ({
      tiles: this.#random.chance(0.3) ? 1 : this.#random.integer(0, 40),
      costPerTile: this.#random.integer(0, 3) ** 2,
    }));
    return { kind: this.#random.chance(0.5) ? 'fast' : 'slow', assumedSpeed: 1, stages };
  }

  #hasten(ticket: number): void {
    const { nowMs } = this.#time;
    const deadlineMs = nowMs + this.#random.integer(0, 20);
    this.ledger.hastened(ticket, deadlineMs);
    this.#step({ kind: 'hasten', ticket, deadlineMs });
  }

  #cancel(ticket: number): void {
    const record = this.ledger.tickets.get(ticket);
    if (record !== undefined) record.ended = true;
    this.#step({ kind: 'cancel', ticket });
  }

  #release(ticket: number): void {
    const record = this.ledger.tickets.get(ticket);
    if (record !== undefined) record.ended = record.released = true;
    this.#step({ kind: 'release', ticket });
  }

  #drain(): void {
    this.ledger.draining = true;
    this.#step({ kind: 'drain' });
  }

  #work({ worker, job, stage, fromTile, toTile }: Extract<SchedulerAction, { kind: 'start' }>): void {
    const record = this.ledger.jobs.get(job)!;
    const life = this.#lives[worker];
    const held = this.ledger.held(worker);
    if (held.length > 1) this.#count('batch');
    const failed = held.filter(() => this.#random.chance(0.02));
    const finish = () => {
      if (life !== this.#lives[worker]) return;
      this.#finish(worker, record.halted ? [...failed, record] : failed);
    };
    if (this.#deadly && this.#random.chance(0.04)) {
      this.#count('hang');
      if (this.#random.chance(0.5)) this.#time.in(WATCHDOG_MS + this.#random.integer(0, 2), finish);
    } else if (this.#deadly && this.#random.chance(0.06)) {
      this.#time.in(this.#random.integer(0, 8), () => this.#die(worker, life));
    } else {
      const factor = record.work.kind === 'fast' ? 0.1 : 1.5;
      const tileMs = Math.max(0.01, record.work.stages[stage].costPerTile * factor);
      this.#runTiles(record, toTile - fromTile, tileMs, finish);
    }
  }

  /** Runs tiles one by one, and stops early where the job is halted. */
  #runTiles(job: JobRecord, tiles: number, tileMs: number, finish: () => void): void {
    if (job.halted || tiles === 0) finish();
    else this.#time.in(tileMs, () => this.#runTiles(job, tiles - 1, tileMs, finish));
  }

  #finish(worker: number, incomplete: readonly JobRecord[]): void {
    const failed = incomplete.filter(({ outcome }) => outcome === null).map(({ id }) => id);
    const { job, companions } = this.ledger.slices[worker]!;
    const isShared = this.ledger.jobs.get(job)!.work.kind === 'shared';
    const isComplete = isShared && failed.length === 0 && companions.length === 0 && this.#random.chance(0.5);
    if (isComplete && this.ledger.jobs.get(job)!.running > 1) this.#count('complete before others are back');
    this.ledger.finished(worker, incomplete, isComplete);
    this.#step({ kind: 'finished', worker, failed, isComplete });
  }

  #boot(worker: number): void {
    this.#time.in(this.#random.integer(0, 10), () => {
      this.ledger.alive[worker] = true;
      const life = this.#lives[worker];
      if (this.#deadly && this.#random.chance(0.1)) {
        this.#time.in(this.#random.integer(1, 30), () => this.#die(worker, life));
      }
      this.#step({ kind: 'ready', worker });
    });
  }

  #die(worker: number, life: number): void {
    if (life !== this.#lives[worker]) return;
    this.#count('lost');
    this.#lives[worker]++;
    this.ledger.lost(worker);
    this.#step({ kind: 'lost', worker });
    this.#boot(worker);
  }

  #count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1;
  }
}
