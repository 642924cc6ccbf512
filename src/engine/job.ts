import type { JobStatus } from '../kernels/status.ts';
import type { Item, ItemResult } from './item.ts';
import type { Work } from './scheduler-state.ts';

/** A piece of work for the workers. */
export interface JobRequest {
  readonly work: Work;
  item(jobId: number, stage: number, fromTile: number, toTile: number): Item;
  /** Where the cancel flag of the job is; null for one-shot tasks, which run to their end. */
  readonly status: JobStatus | null;
}

export interface JobReport {
  /** Of the slice that came back last. */
  readonly result: ItemResult;
  /** From the submission to the first start. */
  readonly queueMs: number;
  /** From the first start to the end. */
  readonly runMs: number;
}
