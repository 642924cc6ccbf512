import { randomBytes } from 'node:crypto';
import { readSession } from '../../contract/read-session.ts';
import type { SessionBody, SessionDescription } from '../../contract/schemas/sessions.ts';
import type { Limits } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import { unlessAborted } from '../../domain/unless-aborted.ts';
import { weigh } from '../../engine/counterweight.ts';
import type { CallRequest, Ticket } from '../../engine/engine.ts';
import type { Encoded } from '../../wire/format.ts';
import type { Layers } from '../layers.ts';
import { Turns } from '../turns.ts';
import { type Cache, cacheBytes, keptPresent, makeCache, type Room, roomFor } from './cache.ts';
import { bytesOf, type Session, stateOf } from './session.ts';
import { type SessionLosses, SessionMemory, type SessionMemoryStats } from './session-memory.ts';

const ID_BYTES = 16;
/** How often sessions that have waited too long are looked for, if nobody asks for one meanwhile. */
const SWEEP_MS = 10_000;

/** A body that is an append, and in which format its answer is wanted. */
export type AppendRequest = Pick<CallRequest, 'format' | 'bytes' | 'answerFormat' | 'inference'>;

/** Sequences of tokens that go through a registered layer piece by piece, their keys and values kept in between. */
export class Sessions {
  readonly #layers: Layers;
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #memory: SessionMemory;
  readonly #sweeping: NodeJS.Timeout;

  /** `now` is the time in milliseconds since 1970. */
  constructor(layers: Layers, limits: Limits, now: () => number = Date.now) {
    this.#layers = layers;
    this.#limits = limits;
    this.#now = now;
    this.#memory = new SessionMemory({ bytes: limits.sessionBytes, idleMs: limits.sessionIdleMs });
    this.#sweeping = setInterval(() => this.#memory.sweep(now()), SWEEP_MS).unref();
  }

  stats(): SessionMemoryStats {
    return this.#memory.stats();
  }

  losses(): SessionLosses {
    return this.#memory.losses();
  }

  close(): void {
    clearInterval(this.#sweeping);
  }

  /**
   * Throws a Problem: `not_found` where there is no such layer, `invalid_header` where there is a session of that id,
   * `invalid_option`, `over_budget`, `over_capacity`; the reason of the signal.
   */
  async begin(body: SessionBody, signal?: AbortSignal, id = randomId()): Promise<SessionDescription> {
    const layer = await this.#layers.open(body.layer, signal);
    const session: Session = {
      id,
      layer: layer.name,
      etag: layer.etag,
      shape: readSession(body, layer, this.#limits),
      turns: new Turns(),
      position: 0,
      cache: null,
      last: null,
      usedAtMs: this.#now(),
      pins: 0,
      lost: null,
      quiet: Promise.resolve(),
    };
    if (this.#memory.isTaken(id)) {
      throw new Problem('invalid_header', `X-Session-Id: expected an id that no session has; got ${id}.`);
    }
    this.#memory.add(session, this.#now());
    return this.#describe(session);
  }

  /** Throws a Problem: `not_found`, `session_lost`. */
  async find(id: string): Promise<SessionDescription> {
    const session = this.#memory.find(id, this.#now());
    await this.#unlessChanged(session, () => this.#layers.find(session.layer));
    return this.#describe(session);
  }

  /** Throws a Problem: `not_found`, `session_lost`. */
  end(id: string): void {
    this.#memory.lose(this.#memory.find(id, this.#now()), 'it was deleted');
  }

  /** Whether there is or has been a session of that id. */
  knows(id: string): boolean {
    return this.#memory.knows(id);
  }

  /** Gives a session another id, in the place of the one that has it. Throws a Problem: `session_lost`. */
  rename(id: string, next: string): void {
    this.#memory.rename(this.#memory.find(id, this.#now()), next);
  }

  /** Ends a session, if there is one of that id, and leaves the id as if it had never been given. */
  forget(id: string): void {
    this.#memory.forget(id, 'its sequence has ended');
  }

  /**
   * Appends tokens when all appends that came before it are done. Where it throws, the session is as it was: a Problem
   * `not_found`, `session_lost`, `position_conflict`, `over_budget`, `over_capacity`, or one of calling a layer.
   */
  async append(id: string, request: AppendRequest, ticket: Ticket): Promise<Encoded> {
    const session = this.#memory.find(id, this.#now());
    session.pins++;
    this.#memory.touch(session, this.#now());
    const turn = session.turns.take(async () => {
      try {
        await unlessAborted(session.quiet, ticket.signal);
        return await this.#append(session, request, ticket);
      } finally {
        session.pins--;
        this.#memory.touch(session, this.#now());
      }
    });
    return unlessAborted(turn, ticket.signal);
  }

  async #append(session: Session, request: AppendRequest, ticket: Ticket): Promise<Encoded> {
    const layer = await this.#unlessChanged(session, () => this.#layers.open(session.layer, ticket.signal));
    const read = await ticket.read({
      ...request,
      operation: 'session_append',
      layer,
      session: stateOf(session),
    });
    const { append, sizes } = read.call;
    if (append === undefined) throw new TypeError('The call is not an append.');
    if (append.isRepeated) return ticket.answer(read, request.answerFormat);
    this.#memory.check(session, this.#now());
    try {
      const cache = this.#layOut(session, sizes.queries);
      const kept = keptPresent(session.cache, cache, session.shape, append.position);
      const call = { ...read.call, keptPresent: kept };
      const encoded = await ticket.answer({ ...read, call }, request.answerFormat);
      session.cache = cache;
      session.position += sizes.queries;
      session.last = { position: append.position, digest: append.digest };
      return encoded;
    } catch (error) {
      session.quiet = ticket.departure();
      throw error;
    } finally {
      this.#memory.settle(session);
    }
  }

  /** Where the next tokens go: behind the others, or with them to memory that has room. */
  #layOut(session: Session, count: number): Cache {
    const { cache, shape, position } = session;
    const room = roomFor(cache, shape, position, count);
    if (cache !== null && room === null) return cache;
    const made = makeCache(shape, position, this.#reserve(session, room!));
    weigh([made.key, made.value]);
    return made;
  }

  /** Books ample room, or what it takes at least where there is no more. Gives the rows. */
  #reserve(session: Session, { ample, least }: Room): number {
    const rows = this.#memory.fits(cacheBytes(session.shape, ample)) ? ample : least;
    this.#memory.reserve(session, cacheBytes(session.shape, rows));
    return rows;
  }

  /** What is found of the layer of a session, which is lost where that has another content than at its beginning. */
  async #unlessChanged<Found extends { readonly etag: string }>(
    session: Session,
    find: () => Promise<Found>,
  ): Promise<Found> {
    const found = await find().catch((error: unknown) => {
      if (error instanceof Problem && error.code === 'not_found') return null;
      throw error;
    });
    if (found?.etag !== session.etag) {
      const name = JSON.stringify(session.layer);
      const reason = found === null ? `layer ${name} was deleted` : `layer ${name} has another content now`;
      this.#memory.lose(session, reason);
    }
    this.#memory.check(session, this.#now());
    return found!;
  }

  #describe(session: Session): SessionDescription {
    const { id, position, layer, etag, shape } = session;
    return {
      session_id: id,
      position,
      layer,
      etag,
      precision: shape.precision,
      max_length: shape.maxLength,
      bytes: bytesOf(session),
      expires_at: new Date(this.#memory.expiresAtMs(session)).toISOString(),
    };
  }
}

function randomId(): string {
  return randomBytes(ID_BYTES).toString('base64url');
}
