import type { HeadView } from '../domain/call.ts';
import type { Precision } from '../domain/tensor.ts';

/** What is fixed about a session from its beginning. */
export interface SessionShape {
  readonly precision: Precision;
  /** G, d_k and d_v of the layer. */
  readonly kvHeads: number;
  readonly headSize: number;
  readonly valueHeadSize: number;
  /** Keys besides the current one that a token sees to its left; null is all. */
  readonly windowLeft: number | null;
  /** Tokens that the session may come to. */
  readonly maxLength: number;
}

/** Keys, already rotated, and values of the last `rows` tokens before some position. */
export interface PastTokens {
  readonly rows: number;
  readonly key: HeadView;
  readonly value: HeadView;
}

/** How far a session is. Plain data on shared memory, so that it crosses threads without a copy. */
export interface SessionState {
  readonly shape: SessionShape;
  /** Tokens that it has. */
  readonly position: number;
  /** Of them, those that the next token may see; null where there are none. */
  readonly past: PastTokens | null;
  /** The append that came before, for its repetition; null before the first. */
  readonly last: LastAppend | null;
}

export interface LastAppend {
  /** Tokens that the session had before it. */
  readonly position: number;
  readonly past: PastTokens | null;
  /** SHA-256 of its embeddings, in hexadecimal digits. */
  readonly digest: string;
}
