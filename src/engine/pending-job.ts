import { failureOf, type Item, type ItemResult } from './item.ts';
import type { JobReport, JobRequest } from './job.ts';
import { closeError, workerLostProblem } from './outcome.ts';
import type { Outcome } from './scheduler-state.ts';

/** A job that has not ended. */
export interface PendingJob {
  readonly request: JobRequest;
  readonly ticket: TicketEntry;
  readonly submittedMs: number;
  startedMs: number | null;
  result: ItemResult | null;
  readonly resolve: (report: JobReport) => void;
  readonly reject: (reason: unknown) => void;
}

/** A request that has been admitted and not released. */
export interface TicketEntry {
  readonly admittedMs: number;
  lifetimeMs: number;
  readonly controller: AbortController;
}

const NOTHING_COMPUTED: ItemResult = { kind: 'computed', tiles: 0, flops: 0, isComplete: true, runMs: 0 };

/** Tells whoever waits for a job how it ended. */
export function endJob(job: PendingJob, outcome: Outcome): void {
  const { resolve, reject, result, ticket, submittedMs } = job;
  switch (outcome) {
    case 'done': {
      const endMs = performance.now();
      const startedMs = job.startedMs ?? endMs;
      const report = { queueMs: startedMs - submittedMs, runMs: endMs - startedMs };
      resolve({ ...report, result: result ?? NOTHING_COMPUTED });
      break;
    }
    case 'failed':
      reject(failureOf(result!));
      break;
    case 'worker_lost':
      reject(workerLostProblem());
      break;
    default:
      reject(ticket.controller.signal.reason ?? closeError(outcome, ticket.lifetimeMs));
  }
}

/** Only requests say that they go with others. */
export function batchOf(items: readonly Item[]): Item {
  return { kind: 'batch', items: items.filter((item) => item.kind === 'request') };
}
