import type { Visibility } from './call.ts';

/**
 * The keys [from, to) that causality, the window and the key length leave to one query: a contiguous range,
 * so that kernels never touch what lies outside it. Masks may forbid more inside the range.
 *
 * Query i of sample b stands at key position p = i + offset(b). Causal: j <= p. Window: p - left <= j <= p + right.
 */
export function visibleFrom(visibility: Visibility, batch: number, query: number): number {
  if (visibility.windowLeft === null) return 0;
  return Math.max(0, query + visibility.offsets[batch] - visibility.windowLeft);
}

/** End (exclusive) of the range; may lie at or before its start, when the query sees no key. */
export function visibleTo(visibility: Visibility, batch: number, query: number): number {
  const position = query + visibility.offsets[batch];
  let to = visibility.keyLengths[batch];
  if (visibility.causal) to = Math.min(to, position + 1);
  if (visibility.windowRight !== null) to = Math.min(to, position + visibility.windowRight + 1);
  return Math.max(0, to);
}

/**
 * The queries [from, to) of `queries` that causality and the window leave a key to: the same ranges, read the other way
 * round. Key lengths and masks may hide the key from them all the same.
 */
export function readersFrom(visibility: Visibility, batch: number, key: number): number {
  const ahead = visibility.causal ? 0 : visibility.windowRight;
  return ahead === null ? 0 : Math.max(0, key - ahead - visibility.offsets[batch]);
}

/** End (exclusive) of that range; may lie at or before its start. */
export function readersTo(visibility: Visibility, batch: number, key: number, queries: number): number {
  if (visibility.windowLeft === null) return queries;
  return Math.min(queries, key + visibility.windowLeft - visibility.offsets[batch] + 1);
}

/** Whether any mask is given, so that keys inside the range must be looked at one by one. */
export function hasMasks(visibility: Visibility): boolean {
  return visibility.allow !== null || visibility.forbid !== null || visibility.keyValid !== null;
}

/** Whether the masks leave key j to query i. `keys` is S, the row length of the masks. */
export function maskAllows(
  visibility: Visibility,
  keys: number,
  batch: number,
  head: number,
  query: number,
  key: number,
): boolean {
  const { allow, forbid, keyValid } = visibility;
  if (allow !== null) {
    const at = batch * allow.batchStride + head * allow.headStride + query * allow.queryStride + key;
    if (allow.data[at] === 0) return false;
  }
  if (forbid !== null) {
    const at = batch * forbid.batchStride + head * forbid.headStride + query * forbid.queryStride + key;
    if (forbid.data[at] !== 0) return false;
  }
  return keyValid === null || keyValid[batch * keys + key] !== 0;
}
