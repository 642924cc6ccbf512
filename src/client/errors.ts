import type { ProblemBody } from '../contract/schemas/problem.ts';
import type { Fault, ProblemCode } from '../domain/problem.ts';

/** Every error that a client throws for a call, except for those about how it was called. */
export abstract class AttentionError extends Error {}

const LONGEST_QUOTE = 200;

/** What a message quotes of a body that is not understood. */
export function beginningOf(body: string): string {
  return body.slice(0, LONGEST_QUOTE);
}

/** What an `AttentionApiError` is made of. */
export interface ApiErrorParts {
  readonly status: number;
  /** The problem that the service answered; undefined where something else answered, such as a gateway. */
  readonly problem?: Partial<ProblemBody> | undefined;
  /** The beginning of a body that is no problem. */
  readonly text?: string | undefined;
  readonly requestId?: string | undefined;
  readonly retryAfter?: number | undefined;
}

/** The service, or what stands before it, answered with an error. */
export class AttentionApiError extends AttentionError {
  override readonly name = 'AttentionApiError';
  /** HTTP status. */
  readonly status: number;
  /** The kind of problem, as `/problems` lists them; null where it was not the service that answered. */
  readonly code: ProblemCode | null;
  /** The places of the body that are at fault: JSON Pointer, and what was expected there and what came. */
  readonly errors: readonly Fault[];
  /** Names the request in the log of the service. */
  readonly requestId: string | null;
  /** Seconds after which to try again, where the answer says so. */
  readonly retryAfter: number | null;

  constructor({ status, problem, text, requestId, retryAfter }: ApiErrorParts) {
    const said = problem?.detail ?? problem?.title ?? text ?? '';
    super([`${status}`, problem?.code ?? 'without a problem', said].filter((part) => part !== '').join(', '));
    this.status = status;
    this.code = problem?.code ?? null;
    this.errors = problem?.errors ?? [];
    this.requestId = requestId ?? problem?.request_id ?? null;
    this.retryAfter = retryAfter ?? null;
  }
}

/** No whole answer came: nothing listens there, or the connection broke. */
export class AttentionConnectionError extends AttentionError {
  override readonly name = 'AttentionConnectionError';
}

/** An answer came that is none of this service, or cannot be read. */
export class AttentionResponseError extends AttentionError {
  override readonly name = 'AttentionResponseError';
}

/** The deadline passed, here or at the service; then `cause` is what the service answered. */
export class AttentionDeadlineError extends AttentionError {
  override readonly name = 'AttentionDeadlineError';
}

/** The caller's signal was aborted; `cause` is its reason. */
export class AttentionAbortError extends AttentionError {
  // The name by which aborts are told from failures.
  override readonly name = 'AbortError';
}
