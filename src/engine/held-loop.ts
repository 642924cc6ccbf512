/** Polling for something that is there already takes less than this, in milliseconds; a real wait takes longer. */
const LONGEST_POLL_MS = 0.02;
/** Requests in a row that must have come alone before the next is expected to be alone too. */
const ENOUGH = 4;

/**
 * The event loop, which may compute what takes some time as long as requests come one at a time: whoever comes meanwhile
 * waits, and with several clients somebody always would.
 */
export class HeldLoop {
  /** For how long the loop has been idle since the process began. */
  readonly #idleMs: () => number;
  /** The same when it was last held. */
  #idleBeforeMs = Number.NEGATIVE_INFINITY;
  /** Requests in a row that came when there was no other. */
  #alone = 0;
  /** Who sent the last request, and whether nobody else has sent one since the loop was last held. */
  #caller: object | undefined;
  #isSameCaller = false;

  constructor(idleMs: () => number) {
    this.#idleMs = idleMs;
  }

  /** A request has come. A caller that is known waits for one answer before it sends the next request. */
  came(caller: object | undefined): void {
    this.#isSameCaller &&= caller === this.#caller;
    this.#caller = caller;
  }

  /** Runs something that takes as long as the way to a worker and back, or longer. */
  hold<Result>(run: () => Result): Result {
    try {
      return run();
    } finally {
      this.#idleBeforeMs = this.#idleMs();
      this.#isSameCaller = this.#caller !== undefined;
    }
  }

  /** Whether requests come one at a time; to be asked once for each that the loop could compute, with how many there are. */
  isQuiet(requests: number): boolean {
    this.#alone = requests === 1 ? this.#alone + 1 : 0;
    // Where the loop has not been idle since it was held, this one may have waited, and another client be there; unless
    // it comes from who had to wait for what the loop was held for.
    const hasRested = this.#idleMs() - this.#idleBeforeMs > LONGEST_POLL_MS;
    return (hasRested || this.#isSameCaller) && this.#alone > ENOUGH;
  }
}
