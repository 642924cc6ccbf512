import { AttentionAbortError, AttentionDeadlineError } from './errors.ts';

/** The longest time that a timer waits; a longer one would not wait at all. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The end of one call: its deadline, or the caller's signal, whichever comes first. */
export class CallEnd {
  /** Aborted at the end. */
  readonly signal: AbortSignal;
  readonly #deadlineMs: number;
  readonly #endsMs: number;
  readonly #given: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;

  /** `deadlineMs` from now. Throws where it is not positive. */
  constructor(deadlineMs: number | undefined, given: AbortSignal | undefined) {
    if (deadlineMs !== undefined && !(deadlineMs > 0)) {
      throw new RangeError(`deadlineMs: expected a positive number; got ${deadlineMs}`);
    }
    const controller = new AbortController();
    this.#deadlineMs = deadlineMs ?? Number.POSITIVE_INFINITY;
    this.#endsMs = performance.now() + this.#deadlineMs;
    this.#given = given;
    this.#timer = Number.isFinite(this.#deadlineMs)
      ? setTimeout(() => controller.abort(), Math.min(this.#deadlineMs, LONGEST_TIMER_MS))
      : undefined;
    this.signal = given === undefined ? controller.signal : AbortSignal.any([controller.signal, given]);
  }

  /** Milliseconds until the deadline. */
  get leftMs(): number {
    return this.#endsMs - performance.now();
  }

  /** What ended the call, as the caller is told; undefined where nothing has. */
  error(cause?: unknown): AttentionAbortError | AttentionDeadlineError | undefined {
    if (!this.signal.aborted) return undefined;
    if (this.#given?.aborted) {
      return new AttentionAbortError('The call was aborted', { cause: this.#given.reason });
    }
    return new AttentionDeadlineError(`The deadline of ${this.#deadlineMs} ms passed`, { cause });
  }

  /** To be called once the call has an outcome. */
  settle(): void {
    clearTimeout(this.#timer);
  }
}
