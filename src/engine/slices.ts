import type { JobState, SchedulerState, Slice, SliceReport, Work } from './scheduler-state.ts';

/** Long enough that handing a slice over costs little beside it. */
const SHORTEST_SLICE_MS = 1;
/** Short enough that a small job soon gets its turn beside a big one. */
const LONGEST_SLICE_MS = 5;
const WATCHDOG_MS = 10_000;
const WATCHDOG_FACTOR = 20;
/**
 * Weights of a new measurement of the speed. A piece of work may take longer than it needs, since something else had
 * the processor, but never shorter: so good news counts at once, and bad news when it keeps coming.
 */
const FASTER_WEIGHT = 0.5;
const SLOWER_WEIGHT = 0.05;
const LONGEST_RETRY_SECONDS = 60;

/**
 * Cuts the next slice from the job's stage: an equal share of what is left for each worker, but not shorter or
 * longer than is good for the others; at least one tile.
 */
export function cutSlice(state: SchedulerState, job: JobState, nowMs: number): Slice {
  const { tiles, costPerTile } = job.work.stages[job.stage];
  const speed = speedOf(state, job.work);
  const tilesIn = (ms: number) => Math.max(1, Math.floor((ms * speed) / costPerTile));
  const share = Math.ceil((tiles - job.nextTile) / state.workers.length);
  const size = Math.min(tilesIn(LONGEST_SLICE_MS), Math.max(tilesIn(SHORTEST_SLICE_MS), share));
  const fromTile = job.nextTile;
  const toTile = Math.min(tiles, fromTile + size);
  const companions = companionsOf(state, job, nowMs);
  const estimateMs = sliceCost({ job, stage: job.stage, fromTile, toTile, companions }) / speed;
  const limitMs = nowMs + Math.max(WATCHDOG_MS, WATCHDOG_FACTOR * estimateMs);
  return { job, stage: job.stage, fromTile, toTile, companions, startedMs: nowMs, limitMs };
}

/**
 * What a worker does at the same go: an equal share, for each worker, of the jobs that wait to be done with this one, as
 * long as all of them take no longer than a slice may.
 */
function companionsOf(state: SchedulerState, { work }: JobState, nowMs: number): JobState[] {
  if (work.batch === undefined) return [];
  const alike = state.runnable.filter(
    (other) => other.work.batch === work.batch && nowMs < other.ticket.deadlineMs,
  );
  const share = Math.min(state.capacity.batch, Math.ceil((alike.length + 1) / state.workers.length)) - 1;
  const most = LONGEST_SLICE_MS * speedOf(state, work);
  const companions: JobState[] = [];
  let cost = work.stages[0].costPerTile;
  for (const other of alike.slice(0, share)) {
    cost += other.work.stages[0].costPerTile;
    if (cost > most) break;
    companions.push(other);
  }
  return companions;
}

function sliceCost({
  job: { work },
  stage,
  fromTile,
  toTile,
  companions,
}: Pick<Slice, 'job' | 'stage' | 'fromTile' | 'toTile' | 'companions'>): number {
  let cost = (toTile - fromTile) * work.stages[stage].costPerTile;
  for (const other of companions) cost += other.work.stages[0].costPerTile;
  return cost;
}

/**
 * Learns the speed from a slice that has run to its end. Where the worker has not told how long it took, the time of
 * the hand-over makes short slices look slower than they are, so these count only where they show that the work is
 * faster than was believed.
 */
export function learnFromSlice(
  state: SchedulerState,
  slice: Slice,
  { runMs, cost = sliceCost(slice) }: SliceReport,
  nowMs: number,
): void {
  const { work } = slice.job;
  const elapsedMs = runMs ?? nowMs - slice.startedMs;
  if (runMs === undefined && elapsedMs < SHORTEST_SLICE_MS && cost < elapsedMs * speedOf(state, work)) return;
  learnSpeed(state, work, cost, elapsedMs);
}

/** Learns the speed of a kind of work from a piece of it. */
export function learnSpeed(
  state: SchedulerState,
  work: Pick<Work, 'kind' | 'assumedSpeed'>,
  cost: number,
  elapsedMs: number,
): void {
  const measured = cost / elapsedMs;
  if (!(measured > 0 && measured < Number.POSITIVE_INFINITY)) return;
  const believed = speedOf(state, work);
  const weight = measured > believed ? FASTER_WEIGHT : SLOWER_WEIGHT;
  state.speeds.set(work.kind, believed + weight * (measured - believed));
}

/** When a refused caller may try again: the time in which the workers get through the backlog. */
export function retryAfterSeconds(state: SchedulerState): number {
  let backlogMs = 0;
  for (const job of state.jobs.values())
    if (!job.settled) backlogMs += remainingCost(job) / speedOf(state, job.work);
  const seconds = Math.ceil(backlogMs / state.workers.length / 1000);
  return Math.min(LONGEST_RETRY_SECONDS, Math.max(1, seconds));
}

function remainingCost({ work, stage, nextTile }: JobState): number {
  let cost = -nextTile * (work.stages[stage]?.costPerTile ?? 0);
  for (const { tiles, costPerTile } of work.stages.slice(stage)) cost += tiles * costPerTile;
  return cost;
}

/** Cost units per millisecond, as far as is known. */
export function speedOf(state: SchedulerState, work: Pick<Work, 'kind' | 'assumedSpeed'>): number {
  return state.speeds.get(work.kind) ?? work.assumedSpeed;
}
