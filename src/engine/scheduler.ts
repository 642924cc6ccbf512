import { admit, leave, reserve } from './admission.ts';
import type {
  CloseReason,
  JobState,
  Outcome,
  SchedulerAction,
  SchedulerEvent,
  SchedulerState,
  TicketState,
  WorkerState,
} from './scheduler-state.ts';
import { cutSlice, learnFromSlice, learnSpeed } from './slices.ts';

/**
 * The scheduler: decides who is admitted, which worker computes what, and how each job ends. A deterministic
 * state machine without I/O, clock or promises, so that a simulation can take it through any history.
 *
 *   ticket   admit ──▶ open ──────────── release ──────────▶ leaving ──▶ gone, its bytes are free
 *              │         └─ cancel, deadline ─▶ closed ─ release ─┘  └ when no slice of it is running
 *              └──▶ refuse (too many requests or bytes, stopping)
 *
 *   job      submit ──▶ runnable ◀── more tiles, or next stage ──┐
 *                          │ start                               │
 *                          ▼                                     │
 *                       slices running ── last tile of the stage ┴──▶ settle: done
 *                          │
 *                          └─ cancelled, deadline, failed, worker lost ─▶ settle at once, nothing more starts;
 *                             running slices are halted; its memory counts until they have returned;
 *                             in the same way with `done` where one worker says that nothing is left to do
 *
 *   worker   down ── ready ──▶ idle ── start ──▶ busy ── finished ──▶ idle
 *             ▲                 │                 ├─ past its limit ──▶ ending
 *             └────── lost ─────┴─────────────────┴─────────────────────┘
 *
 * Jobs take turns in a ring: a job joins at the end, gives one slice to the next idle worker and joins at the end
 * again. So jobs start in the order in which they came, one big job uses every worker, and a small job waits for
 * one slice of each job before it, never for a whole job. Jobs of one batch may start before their turn, with the one
 * whose turn it is.
 */
export function step(state: SchedulerState, event: SchedulerEvent, nowMs: number): SchedulerAction[] {
  const actions: SchedulerAction[] = [];
  handle(state, event, nowMs, actions);
  handOut(state, nowMs, actions);
  if (state.draining && !state.drained && state.tickets.size === 0) {
    state.drained = true;
    actions.push({ kind: 'drained' });
  }
  return actions;
}

function handle(
  state: SchedulerState,
  event: SchedulerEvent,
  nowMs: number,
  actions: SchedulerAction[],
): void {
  const ticket = 'ticket' in event ? state.tickets.get(event.ticket) : undefined;
  switch (event.kind) {
    case 'admit':
      if (admit(state, event, actions)) wakeBy(state, event.deadlineMs, actions);
      break;
    case 'reserve':
      if (ticket !== undefined && !ticket.released) reserve(state, ticket, event.bytes, actions);
      break;
    case 'submit':
      submit(state, event, actions);
      break;
    case 'hasten':
      if (ticket !== undefined) hasten(state, ticket, event.deadlineMs, nowMs, actions);
      break;
    case 'cancel':
      if (ticket !== undefined) close(state, ticket, 'cancelled', actions);
      break;
    case 'release':
      if (ticket !== undefined) release(state, ticket, actions);
      break;
    case 'ready':
      state.workers[event.worker].phase = 'idle';
      break;
    case 'finished':
      finish(state, event, nowMs, actions);
      break;
    case 'measured':
      learnSpeed(state, event.work, event.cost, event.runMs);
      break;
    case 'lost':
      lose(state, state.workers[event.worker], actions);
      break;
    case 'tick':
      tick(state, nowMs, actions);
      break;
    case 'drain':
      state.draining = true;
  }
}

function submit(
  state: SchedulerState,
  event: Extract<SchedulerEvent, { kind: 'submit' }>,
  actions: SchedulerAction[],
): void {
  const ticket = state.tickets.get(event.ticket);
  if (ticket === undefined || ticket.released || ticket.closed !== null) {
    actions.push({ kind: 'settle', job: event.job, outcome: ticket?.closed ?? 'cancelled' });
    return;
  }
  const job = { id: event.job, ticket, work: event.work, stage: -1, nextTile: 0, running: 0, settled: false };
  state.jobs.set(job.id, job);
  ticket.jobs.add(job);
  nextStage(state, job, actions);
}

/** Opens the next stage that has tiles, or settles the job where there is none. */
function nextStage(state: SchedulerState, job: JobState, actions: SchedulerAction[]): void {
  do job.stage++;
  while (job.work.stages[job.stage]?.tiles === 0);
  job.nextTile = 0;
  if (job.stage < job.work.stages.length) state.runnable.push(job);
  else settle(state, job, 'done', actions);
}

function handOut(state: SchedulerState, nowMs: number, actions: SchedulerAction[]): void {
  if (state.runnable.length === 0) return;
  for (const [index, worker] of state.workers.entries()) {
    if (worker.phase !== 'idle') continue;
    const job = nextJob(state, nowMs, actions);
    if (job === undefined) return;
    const slice = cutSlice(state, job, nowMs);
    worker.phase = 'busy';
    worker.slice = slice;
    job.running++;
    job.nextTile = slice.toTile;
    if (job.nextTile < job.work.stages[job.stage].tiles) state.runnable.push(job);
    for (const companion of slice.companions) {
      state.runnable.splice(state.runnable.indexOf(companion), 1);
      companion.running++;
      companion.nextTile = 1;
    }
    const { stage, fromTile, toTile } = slice;
    const companions = slice.companions.map(({ id }) => id);
    actions.push({ kind: 'start', worker: index, job: job.id, stage, fromTile, toTile, companions });
    wakeBy(state, slice.limitMs, actions);
  }
}

function nextJob(state: SchedulerState, nowMs: number, actions: SchedulerAction[]): JobState | undefined {
  for (;;) {
    const job = state.runnable.shift();
    if (job === undefined || nowMs < job.ticket.deadlineMs) return job;
    close(state, job.ticket, 'deadline', actions);
  }
}

function finish(
  state: SchedulerState,
  { worker: index, failed, ...report }: Extract<SchedulerEvent, { kind: 'finished' }>,
  nowMs: number,
  actions: SchedulerAction[],
): void {
  const worker = state.workers[index];
  const { slice } = worker;
  if (slice === null) return;
  worker.slice = null;
  if (worker.phase === 'busy') worker.phase = 'idle';
  if (failed.length === 0 && !slice.job.settled) learnFromSlice(state, slice, report, nowMs);
  for (const job of [slice.job, ...slice.companions]) {
    job.running--;
    if (job.settled) {
      retire(state, job, actions);
    } else if (failed.includes(job.id)) {
      settle(state, job, 'failed', actions);
    } else if (report.isComplete && job === slice.job) {
      settle(state, job, 'done', actions);
    } else {
      const stageDone = job.running === 0 && job.nextTile === job.work.stages[job.stage].tiles;
      if (stageDone) nextStage(state, job, actions);
    }
  }
}

function lose(state: SchedulerState, worker: WorkerState, actions: SchedulerAction[]): void {
  const { slice } = worker;
  worker.phase = 'down';
  worker.slice = null;
  if (slice === null) return;
  for (const job of [slice.job, ...slice.companions]) {
    job.running--;
    if (job.settled) retire(state, job, actions);
    else settle(state, job, 'worker_lost', actions);
  }
}

function settle(state: SchedulerState, job: JobState, outcome: Outcome, actions: SchedulerAction[]): void {
  job.settled = true;
  const turn = state.runnable.indexOf(job);
  if (turn >= 0) state.runnable.splice(turn, 1);
  if (job.running > 0) actions.push({ kind: 'halt', job: job.id });
  actions.push({ kind: 'settle', job: job.id, outcome });
  retire(state, job, actions);
}

/** Forgets a settled job once no worker touches its memory any more. */
function retire(state: SchedulerState, job: JobState, actions: SchedulerAction[]): void {
  if (job.running > 0) return;
  state.jobs.delete(job.id);
  job.ticket.jobs.delete(job);
  leave(state, job.ticket, actions);
}

function close(
  state: SchedulerState,
  ticket: TicketState,
  reason: CloseReason,
  actions: SchedulerAction[],
): void {
  if (ticket.closed !== null || ticket.released) return;
  ticket.closed = reason;
  actions.push({ kind: 'abort', ticket: ticket.id, reason });
  settleAll(state, ticket, reason, actions);
}

function hasten(
  state: SchedulerState,
  ticket: TicketState,
  deadlineMs: number,
  nowMs: number,
  actions: SchedulerAction[],
): void {
  if (ticket.closed !== null || ticket.released) return;
  ticket.deadlineMs = Math.min(ticket.deadlineMs, deadlineMs);
  if (nowMs >= ticket.deadlineMs) close(state, ticket, 'deadline', actions);
  else wakeBy(state, ticket.deadlineMs, actions);
}

function release(state: SchedulerState, ticket: TicketState, actions: SchedulerAction[]): void {
  ticket.released = true;
  settleAll(state, ticket, 'cancelled', actions);
  leave(state, ticket, actions);
}

function settleAll(
  state: SchedulerState,
  ticket: TicketState,
  outcome: CloseReason,
  actions: SchedulerAction[],
) {
  for (const job of [...ticket.jobs]) if (!job.settled) settle(state, job, outcome, actions);
}

function tick(state: SchedulerState, nowMs: number, actions: SchedulerAction[]): void {
  let wakeMs = Number.POSITIVE_INFINITY;
  for (const ticket of [...state.tickets.values()]) {
    if (nowMs >= ticket.deadlineMs) close(state, ticket, 'deadline', actions);
    else if (ticket.closed === null && !ticket.released) wakeMs = Math.min(wakeMs, ticket.deadlineMs);
  }
  for (const [index, worker] of state.workers.entries()) {
    if (worker.phase !== 'busy' || worker.slice === null) continue;
    if (nowMs >= worker.slice.limitMs) {
      worker.phase = 'ending';
      actions.push({ kind: 'terminate', worker: index });
    } else wakeMs = Math.min(wakeMs, worker.slice.limitMs);
  }
  state.wakeMs = Number.POSITIVE_INFINITY;
  wakeBy(state, wakeMs, actions);
}

function wakeBy(state: SchedulerState, atMs: number, actions: SchedulerAction[]): void {
  if (atMs >= state.wakeMs) return;
  state.wakeMs = atMs;
  actions.push({ kind: 'wake', atMs });
}
