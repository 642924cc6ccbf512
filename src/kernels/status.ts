import type { AttentionCall } from '../domain/call.ts';

/** What tiles report about a job and what the engine tells them, on shared memory. */
export type JobStatus = Int32Array;

const CANCELLED = 0;
const EMPTY_ROWS = 1;
const FIRST_EMPTY_ROW = 2;
const OVERFLOWS = 3;
const LENGTH = 4;
const NONE = 0x7fffffff;

export function createStatus(): JobStatus {
  const status = new Int32Array(new SharedArrayBuffer(LENGTH * 4));
  resetStatus(status);
  return status;
}

/** As new, for the same job over other numbers. No worker may have it. */
export function resetStatus(status: JobStatus): void {
  status.fill(0);
  status[FIRST_EMPTY_ROW] = NONE;
}

/** Asks the workers to stop after the tile they are at. */
export function cancel(status: JobStatus): void {
  Atomics.store(status, CANCELLED, 1);
}

export function isCancelled(status: JobStatus): boolean {
  return Atomics.load(status, CANCELLED) !== 0;
}

/** Notes a query that may see no key; `row` counts over [B, H, L] of the call. */
export function reportEmptyRow(
  { call, status }: { readonly call: Pick<AttentionCall, 'firstRow'>; readonly status: JobStatus },
  rowOfCall: number,
): void {
  const row = rowOfCall + (call.firstRow ?? 0);
  Atomics.add(status, EMPTY_ROWS, 1);
  let first = Atomics.load(status, FIRST_EMPTY_ROW);
  while (row < first) {
    const seen = Atomics.compareExchange(status, FIRST_EMPTY_ROW, first, row);
    if (seen === first) break;
    first = seen;
  }
}

/** Notes results that are not finite although every input was. */
export function reportOverflow(status: JobStatus): void {
  Atomics.add(status, OVERFLOWS, 1);
}

export function emptyRows(status: JobStatus): { count: number; first: number | null } {
  const count = Atomics.load(status, EMPTY_ROWS);
  return { count, first: count === 0 ? null : Atomics.load(status, FIRST_EMPTY_ROW) };
}

export function overflowed(status: JobStatus): boolean {
  return Atomics.load(status, OVERFLOWS) > 0;
}
