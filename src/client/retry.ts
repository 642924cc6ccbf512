import type { ProblemCode } from '../domain/problem.ts';
import { AttentionApiError, AttentionConnectionError } from './errors.ts';
import { parseHttpDate } from './http-date.ts';

/** When and how often a request is repeated. */
export interface RetryPolicy {
  /** Most repetitions of one request. */
  readonly retries: number;
  /** Longest pause before the first repetition, in milliseconds; it doubles with each one. */
  readonly pauseMs: number;
}

/**
 * Which failures a request is repeated after: `passing`, whatever may be gone the next time, where it does no harm that the
 * service receives it twice; else `refused`, only what tells that the service has not begun with it.
 */
export type Repeat = 'passing' | 'refused';

const LONGEST_PAUSE_MS = 10_000;
const PASSING: ReadonlySet<number> = new Set([502, 503, 504]);
/** Refusals that come before anything is done. */
const NOT_BEGUN: ReadonlySet<ProblemCode> = new Set(['over_capacity', 'stopping']);

/** Whether a request that failed so is to be repeated. */
export function isRepeatable(error: unknown, repeat: Repeat): boolean {
  if (repeat === 'passing') return isPassing(error);
  return error instanceof AttentionApiError && error.code !== null && NOT_BEGUN.has(error.code);
}

/**
 * Whether what went wrong may be gone the next time. The service's own 504 is not: it says that the deadline has
 * passed, not that a gateway found nobody.
 */
function isPassing(error: unknown): boolean {
  if (error instanceof AttentionConnectionError) return true;
  return (
    error instanceof AttentionApiError && PASSING.has(error.status) && error.code !== 'deadline_exceeded'
  );
}

/**
 * Milliseconds before the repetition of that index: at least what the answer asks for, and a random part of a pause
 * that doubles, so that callers who failed together do not come back together.
 */
export function pauseBefore(index: number, error: unknown, { pauseMs }: RetryPolicy): number {
  const asked = error instanceof AttentionApiError ? (error.retryAfter ?? 0) * 1000 : 0;
  return asked + Math.random() * Math.min(LONGEST_PAUSE_MS, pauseMs * 2 ** index);
}

/** Seconds that a Retry-After header asks to wait (RFC 9110, section 10.2.3): a number, or a date. */
export function readRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header)) return Number(header);
  const atMs = parseHttpDate(header, nowMs);
  return atMs === undefined ? undefined : Math.max(0, (atMs - nowMs) / 1000);
}
