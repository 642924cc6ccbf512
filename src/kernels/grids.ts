import type { AttentionCall } from '../domain/call.ts';
import { headShape, type Role } from './heads.ts';
import type { Grid } from './program.ts';

/** Rows of so many heads of every sample. */
export function rowGrid({ sizes }: AttentionCall, heads: number, rows: number, tileRows: number): Grid {
  return { batch: sizes.batch, heads, rows, tileRows };
}

/** The rows of all heads of a role. */
export function headGrid(call: AttentionCall, role: Role, tileRows: number): Grid {
  const { heads, rows } = headShape(call, role);
  return rowGrid(call, heads, rows, tileRows);
}

/** The queries that weights are returned of: for each selected head, or once where these are reduced to one. */
export function weightGrid(call: AttentionCall, tileRows: number): Grid {
  const { heads, queries, reduce } = call.returns.weights!;
  return rowGrid(call, reduce === null ? heads.length : 1, queries.length, tileRows);
}

/** How many heads a row of that grid is made of. */
export function headsOfWeightRow({ returns }: AttentionCall): number {
  const { heads, reduce } = returns.weights!;
  return reduce === null ? 1 : heads.length;
}

/**
 * Floating-point operations of one query of one head, in vectors, where an exponential takes as long as about twenty. An
 * upper bound: keys that are out of a query's range cost less.
 */
export function attentionFlops({ sizes }: AttentionCall): number {
  return 2 * sizes.keys * (sizes.headSize + sizes.valueHeadSize + 10);
}
