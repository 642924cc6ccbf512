import type { AttentionCall, HeadStrides, HeadView, Linear } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';
import type { Job } from './kernel.ts';

/** The three inputs of attention, each a [B, heads, rows, d] tensor. */
export const ROLES = ['query', 'key', 'value'] as const;
export type Role = (typeof ROLES)[number];

/** Whether the heads of a role are computed from tokens. */
export function isProjected(call: AttentionCall, role: Role): boolean {
  return call[role].kind === 'projected';
}

/** The projection of heads that are computed from tokens. */
export function linearOf(call: AttentionCall, role: Role): Linear {
  const source = call[role];
  if (source.kind !== 'projected') throw new TypeError(`The ${role} heads are given.`);
  return source.linear;
}

/** Whether the heads of a role are computed into memory first, or read where the caller's tensor lies. */
export function isPrepared(call: AttentionCall, role: Role): boolean {
  return isProjected(call, role) || (call.rope !== null && role !== 'value');
}

/** Whether all that is done to prepare the heads of a role is to rotate those that are given. */
export function isGivenAndRotated(call: AttentionCall, role: Role): boolean {
  return isPrepared(call, role) && !isProjected(call, role);
}

/**
 * Whether a number of a role's heads that is not finite is an overflow, whoever sees it: of queries, and of keys and values
 * that the caller is given. What other keys hold is one for the queries that may see them.
 */
export function isHeldToRange(call: AttentionCall, role: Role): boolean {
  return role === 'query' || call.returns.presentKeyValue;
}

/** Heads, rows and head size of a role; keys and values without the past ones. */
export function headShape(call: AttentionCall, role: Role): { heads: number; rows: number; size: number } {
  const { heads, kvHeads, queries, keys, past, headSize, valueHeadSize } = call.sizes;
  if (role === 'query') return { heads, rows: queries, size: headSize };
  return { heads: kvHeads, rows: keys - past, size: role === 'key' ? headSize : valueHeadSize };
}

/** Strides of prepared heads, [heads, B, rows, d] contiguous: the rows of a head follow each other, sample after sample. */
export function preparedStrides(call: AttentionCall, role: Role): HeadStrides {
  const { rows, size } = headShape(call, role);
  return { batchStride: rows * size, headStride: call.sizes.batch * rows * size, rowStride: size };
}

/** Where the heads of a role are read from once they are prepared. */
export function headsOf(job: Job, role: Role): HeadView {
  const source = job.call[role];
  if (source.kind === 'given' && !isPrepared(job.call, role)) return source.view;
  return { data: job.memory[role] as RealArray, ...preparedStrides(job.call, role) };
}

/** Consecutive keys [from, to) at a constant stride: key j starts at base + (j - from)·stride. */
export interface KeyRun {
  readonly data: RealArray;
  readonly base: number;
  readonly stride: number;
  readonly from: number;
  readonly to: number;
}

/** All keys (or values) that key/value head g of sample b has, in order: past, new, extra. */
export function keyRuns(job: Job, role: 'key' | 'value', batch: number, kvHead: number): KeyRun[] {
  const { sizes, past, extras } = job.call;
  const runs: KeyRun[] = [];
  if (past !== null) runs.push(runOf(past[role], batch, kvHead, 0, sizes.past));
  runs.push(runOf(headsOf(job, role), batch, kvHead, sizes.past, sizes.keys));
  const size = role === 'key' ? sizes.headSize : sizes.valueHeadSize;
  extras.forEach((extra, index) => {
    const at = sizes.keys + index;
    runs.push({ data: extra[role], base: kvHead * size, stride: size, from: at, to: at + 1 });
  });
  return runs;
}

function runOf(view: HeadView, batch: number, head: number, from: number, to: number): KeyRun {
  const base = batch * view.batchStride + head * view.headStride;
  return { data: view.data, base, stride: view.rowStride, from, to };
}

/** The key/value head that query head h reads: h // (H/G). */
export function kvHeadOf(call: AttentionCall, head: number): number {
  return Math.floor(head / (call.sizes.heads / call.sizes.kvHeads));
}

/** Position of a query head's row in [B, H, L]. */
export function rowIndex(call: AttentionCall, batch: number, head: number, query: number): number {
  return (batch * call.sizes.heads + head) * call.sizes.queries + query;
}
