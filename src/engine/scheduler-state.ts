/** What the scheduler knows. Changed by `step` alone. */
export interface SchedulerState {
  readonly capacity: Capacity;
  readonly workers: readonly WorkerState[];
  readonly tickets: Map<number, TicketState>;
  readonly jobs: Map<number, JobState>;
  /** Jobs that have a slice to hand out, the next one first. */
  readonly runnable: JobState[];
  /** Measured speed of each kind of work, in cost units per millisecond. */
  readonly speeds: Map<string, number>;
  /** Tickets that take no place among the requests. */
  errands: number;
  /** Reserved by all tickets together. */
  bytes: number;
  draining: boolean;
  drained: boolean;
  /** When the next tick is due; Infinity where nothing waits for the clock. */
  wakeMs: number;
}

/** What all requests together may hold. */
export interface Capacity {
  readonly requests: number;
  readonly bytes: number;
  /** Jobs that a worker is given at one go. */
  readonly batch: number;
}

export interface WorkerState {
  phase: 'down' | 'idle' | 'busy' | 'ending';
  slice: Slice | null;
}

/** Tiles [fromTile, toTile) of one stage, in the hands of one worker. */
export interface Slice {
  readonly job: JobState;
  readonly stage: number;
  readonly fromTile: number;
  readonly toTile: number;
  /** Other jobs, of one tile each, that the worker does at the same go. */
  readonly companions: readonly JobState[];
  readonly startedMs: number;
  /** When the watchdog gives the worker up. */
  readonly limitMs: number;
}

export interface TicketState {
  readonly id: number;
  deadlineMs: number;
  /** Jobs that have not settled, and settled ones whose slices are still running. */
  readonly jobs: Set<JobState>;
  bytes: number;
  readonly isErrand: boolean;
  /** Why no more of its work is done. */
  closed: CloseReason | null;
  released: boolean;
}

export interface JobState {
  readonly id: number;
  readonly ticket: TicketState;
  readonly work: Work;
  stage: number;
  /** First tile of the stage that no worker has been given. */
  nextTile: number;
  /** Slices in the hands of workers. */
  running: number;
  settled: boolean;
}

/** Stages of tiles, one stage after the other. A one-shot task is one stage of one tile. */
export interface Work {
  /** Work of the same kind runs at about the same speed, which is measured. */
  readonly kind: string;
  /** Cost units per millisecond until a speed has been measured. */
  readonly assumedSpeed: number;
  readonly stages: readonly WorkStage[];
  /** Work of one tile that a worker does at one go with other such work of the same name, where there is some. */
  readonly batch?: string | undefined;
}

export interface WorkStage {
  readonly tiles: number;
  readonly costPerTile: number;
}

export type CloseReason = 'cancelled' | 'deadline';
export type Outcome = 'done' | 'failed' | 'worker_lost' | CloseReason;
export type RefusalReason = 'requests' | 'bytes' | 'stopping';

/** What a worker says of a slice that it has come back from. */
export interface SliceReport {
  /** How long it took. */
  readonly runMs?: number | undefined;
  /** What was done in that time, in cost units; the whole slice where it is not told. */
  readonly cost?: number | undefined;
  /** Nothing of the job is left to be done, whoever else has something of it. */
  readonly isComplete?: boolean | undefined;
}

export type SchedulerEvent =
  | {
      readonly kind: 'admit';
      readonly ticket: number;
      readonly bytes: number;
      readonly deadlineMs: number;
      /** Something that requests which have their places wait for: it takes none itself. */
      readonly isErrand?: boolean;
    }
  | { readonly kind: 'reserve'; readonly ticket: number; readonly bytes: number }
  | { readonly kind: 'submit'; readonly ticket: number; readonly job: number; readonly work: Work }
  /** The deadline comes sooner; a later one changes nothing. */
  | { readonly kind: 'hasten'; readonly ticket: number; readonly deadlineMs: number }
  | { readonly kind: 'cancel'; readonly ticket: number }
  | { readonly kind: 'release'; readonly ticket: number }
  | { readonly kind: 'ready'; readonly worker: number }
  | ({ readonly kind: 'finished'; readonly worker: number; readonly failed: readonly number[] } & SliceReport)
  /** Work was done outside the workers, which tells something about its speed. */
  | {
      readonly kind: 'measured';
      readonly work: Pick<Work, 'kind' | 'assumedSpeed'>;
      readonly cost: number;
      readonly runMs: number;
    }
  | { readonly kind: 'lost'; readonly worker: number }
  | { readonly kind: 'tick' }
  | { readonly kind: 'drain' };

export type SchedulerAction =
  /** Answer to `admit` or `reserve`; without it they were granted. */
  | { readonly kind: 'refuse'; readonly reason: RefusalReason; readonly retryAfterSeconds: number }
  | {
      readonly kind: 'start';
      readonly worker: number;
      readonly job: number;
      readonly stage: number;
      readonly fromTile: number;
      readonly toTile: number;
      /** Jobs of one tile that are done at the same go. */
      readonly companions: readonly number[];
    }
  /** Set the job's cancel flag, so that its running slices stop after the tile they are at. */
  | { readonly kind: 'halt'; readonly job: number }
  /** Tell the caller how the job ended; comes once for each job, and nothing of the job starts afterwards. */
  | { readonly kind: 'settle'; readonly job: number; readonly outcome: Outcome }
  /** Tell the ticket's holder that the ticket is closed; comes at most once for each ticket. */
  | { readonly kind: 'abort'; readonly ticket: number; readonly reason: CloseReason }
  /** The ticket is gone and none of its slices is running: its memory is free. Comes once for each admitted ticket. */
  | { readonly kind: 'left'; readonly ticket: number }
  /** End a worker that does not come back from its slice. `lost` is expected to follow. */
  | { readonly kind: 'terminate'; readonly worker: number }
  /** Send `tick` at this time; replaces the time asked for before. */
  | { readonly kind: 'wake'; readonly atMs: number }
  | { readonly kind: 'drained' };

export function createScheduler(workers: number, capacity: Capacity): SchedulerState {
  return {
    capacity,
    workers: Array.from({ length: workers }, () => ({ phase: 'down', slice: null })),
    tickets: new Map(),
    jobs: new Map(),
    runnable: [],
    speeds: new Map(),
    errands: 0,
    bytes: 0,
    draining: false,
    drained: false,
    wakeMs: Number.POSITIVE_INFINITY,
  };
}
