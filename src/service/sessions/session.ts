import type { SessionShape, SessionState } from '../../contract/session.ts';
import type { Turns } from '../turns.ts';
import { type Cache, cacheBytes, pastAt } from './cache.ts';

/** A sequence of tokens on its way through a layer. */
export interface Session {
  /** Of a sequence that is just starting, another one than later. */
  id: string;
  /** The layer, and the content that it had when the session began. */
  readonly layer: string;
  readonly etag: string;
  readonly shape: SessionShape;
  readonly turns: Turns;
  position: number;
  cache: Cache | null;
  /** The append that came last. */
  last: { readonly position: number; readonly digest: string } | null;
  /** When that was, or the beginning. */
  usedAtMs: number;
  /** Appends that wait or run. */
  pins: number;
  /** Why it is gone; null where it is not. */
  lost: string | null;
  /** Settled when no worker writes any more what an append that failed had it write. */
  quiet: Promise<void>;
}

/** How far it is, for reading an append. */
export function stateOf({ shape, position, cache, last }: Session): SessionState {
  return {
    shape,
    position,
    past: pastAt(cache, shape, position),
    last: last && { ...last, past: pastAt(cache, shape, last.position) },
  };
}

/** Memory of its keys and values. */
export function bytesOf({ shape, cache }: Session): number {
  return cache === null ? 0 : cacheBytes(shape, cache.capacity);
}
