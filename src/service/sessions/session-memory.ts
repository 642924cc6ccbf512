import { Problem } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import { bytesOf, type Session } from './session.ts';

/** What a session without a token counts for, so that there is an end to them too. */
const LEAST_BYTES = 4096;
/** Sessions that are known to have been there. */
const MOST_LOST = 16_384;

export interface SessionMemoryStats {
  readonly open: number;
  readonly bytes: number;
}

/** Sessions that were lost since the process started: their memory was needed, or nobody came. */
export interface SessionLosses {
  readonly evicted: number;
  readonly expired: number;
}

export interface SessionMemoryOptions {
  /** Bytes of all sessions together. */
  readonly bytes: number;
  /** How long a session is kept to which nothing is appended. */
  readonly idleMs: number;
}

/**
 * The sessions that there are, least recently used first, within so many bytes. Where more are needed, sessions that
 * have waited for longest are lost; one with an append on its way never is.
 */
export class SessionMemory {
  readonly #options: SessionMemoryOptions;
  readonly #sessions = new Map<string, Session>();
  /** Bytes that each of them counts for, memory that an append is just moving to included. */
  readonly #booked = new Map<Session, number>();
  /** Why others are gone. */
  readonly #lost = new Map<string, string>();
  #bytes = 0;
  #evicted = 0;
  #expired = 0;

  constructor(options: SessionMemoryOptions) {
    this.#options = options;
  }

  stats(): SessionMemoryStats {
    return { open: this.#sessions.size, bytes: this.#bytes };
  }

  losses(): SessionLosses {
    return { evicted: this.#evicted, expired: this.#expired };
  }

  /** Takes a new session in. Throws a Problem, `over_capacity`. */
  add(session: Session, nowMs: number): void {
    this.sweep(nowMs);
    this.#makeRoom(LEAST_BYTES);
    this.#lost.delete(session.id);
    this.#sessions.set(session.id, session);
    this.#booked.set(session, 0);
    this.#book(session, LEAST_BYTES);
  }

  /** Throws a Problem: `session_lost` where it has been there, `not_found` where this process has not seen it. */
  find(id: string, nowMs: number): Session {
    this.sweep(nowMs);
    const session = this.#sessions.get(id);
    if (session !== undefined) return session;
    const reason = this.#lost.get(id);
    if (reason !== undefined) throw lostProblem(reason);
    const detail = `There is no session ${quoted(id)}. Sessions live only in the instance that began them.`;
    throw new Problem('not_found', detail);
  }

  /** Whether there is or has been a session of that id, so that `find` has more to say than that there is none. */
  knows(id: string): boolean {
    return this.#sessions.has(id) || this.#lost.has(id);
  }

  /** Whether there is a session of that id. */
  isTaken(id: string): boolean {
    return this.#sessions.has(id);
  }

  /** Throws a Problem, `session_lost`, where a session that was there is not any more. */
  check(session: Session, nowMs: number): void {
    this.sweep(nowMs);
    if (session.lost !== null) throw lostProblem(session.lost);
  }

  /** Gives a session the id of another one, which is lost where it is still there. */
  rename(session: Session, id: string): void {
    this.forget(id, 'its sequence was started again');
    this.#sessions.delete(session.id);
    this.#lost.delete(id);
    session.id = id;
    this.#sessions.set(id, session);
  }

  /** The session is the one used last. */
  touch(session: Session, nowMs: number): void {
    session.usedAtMs = nowMs;
    if (!this.has(session)) return;
    this.#sessions.delete(session.id);
    this.#sessions.set(session.id, session);
  }

  has(session: Session): boolean {
    return this.#sessions.get(session.id) === session;
  }

  expiresAtMs({ usedAtMs }: Session): number {
    return usedAtMs + this.#options.idleMs;
  }

  /** Whether so many more bytes can be had, sessions without an append on its way losing theirs. */
  fits(bytes: number): boolean {
    return this.#pinnedBytes() + bytes <= this.#options.bytes;
  }

  /**
   * Books memory that a session is to move to, beside what it has. Throws a Problem: `over_budget` where it is more than
   * all sessions may have, `over_capacity` where others do not let go of theirs.
   */
  reserve(session: Session, bytes: number): void {
    const { bytes: limit } = this.#options;
    if (LEAST_BYTES + bytesOf(session) + bytes > limit) {
      const present = bytesOf(session);
      const copied = present === 0 ? '' : `, ${present} for those that they are copied from`;
      const detail = `The session needs ${bytes} bytes for its keys and values${copied} and ${LEAST_BYTES} for what is around them; all sessions together may have ${limit}.`;
      throw new Problem('over_budget', detail);
    }
    this.#makeRoom(bytes);
    this.#book(session, bytes);
  }

  /** Books as much as the session has: after an append, whatever has come of it. */
  settle(session: Session): void {
    if (this.has(session))
      this.#book(session, LEAST_BYTES + bytesOf(session) - (this.#booked.get(session) ?? 0));
  }

  /** Loses a session for a reason, which whoever asks for it is told. */
  lose(session: Session, reason: string): void {
    if (!this.has(session)) return;
    this.forget(session.id, reason);
    this.#lost.set(session.id, reason);
    if (this.#lost.size > MOST_LOST) this.#lost.delete(this.#lost.keys().next().value!);
  }

  /** Loses a session, if there is one of that id, for a reason that only those are told who wait for it. */
  forget(id: string, reason: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.#sessions.delete(id);
    this.#book(session, -(this.#booked.get(session) ?? 0));
    this.#booked.delete(session);
    session.lost = reason;
  }

  /** Loses the sessions that have waited too long. */
  sweep(nowMs: number): void {
    for (const session of this.#sessions.values()) {
      if (nowMs < this.expiresAtMs(session)) return;
      if (session.pins > 0) continue;
      this.#expired++;
      this.lose(session, `nothing was appended to it for ${this.#options.idleMs / 1000} seconds`);
    }
  }

  #makeRoom(bytes: number): void {
    const { bytes: limit } = this.#options;
    const pinned = this.#pinnedBytes();
    if (pinned + bytes > limit) {
      const detail = `${bytes} more bytes are needed; of the ${limit} for all sessions together ${pinned} are in use.`;
      throw new Problem('over_capacity', detail, [], 1);
    }
    for (const session of this.#sessions.values()) {
      if (this.#bytes + bytes <= limit) return;
      if (session.pins > 0) continue;
      this.#evicted++;
      this.lose(session, 'its memory was needed for others');
    }
  }

  /** Bytes of the sessions that have appends on their way. */
  #pinnedBytes(): number {
    let bytes = 0;
    for (const [session, booked] of this.#booked) if (session.pins > 0) bytes += booked;
    return bytes;
  }

  #book(session: Session, bytes: number): void {
    this.#booked.set(session, (this.#booked.get(session) ?? 0) + bytes);
    this.#bytes += bytes;
  }
}

export function lostProblem(reason: string): Problem {
  return new Problem(
    'session_lost',
    `The session is gone: ${reason}. Begin a new one and append all tokens again.`,
  );
}
