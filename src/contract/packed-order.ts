import { problemAt } from '../domain/problem.ts';
import type { PACKED_ORDERS } from './schemas/compute.ts';

/** How matrices are packed that do not say so. */
export const DEFAULT_ORDER = 'qkv';

/**
 * Where each head begins on the packed axis. `qkv`: all of q, then k, then v. `per_head`: [H, 3, d].
 * `per_kv_group`: [G, H/G + 2, d], the query heads of a group, then its key and its value.
 */
export function packedColumns(
  order: (typeof PACKED_ORDERS)[number],
  heads: number,
  kvHeads: number,
  headSize: number,
  valueHeadSize: number,
): Record<'query' | 'key' | 'value', number[]> {
  const from = (count: number, columnOf: (head: number) => number) =>
    Array.from({ length: count }, (_, head) => columnOf(head));
  if (order === 'qkv') {
    const keysAt = heads * headSize;
    const valuesAt = keysAt + kvHeads * headSize;
    return {
      query: from(heads, (head) => head * headSize),
      key: from(kvHeads, (head) => keysAt + head * headSize),
      value: from(kvHeads, (head) => valuesAt + head * valueHeadSize),
    };
  }
  if (order === 'per_head' && heads !== kvHeads) {
    throw problemAt(
      'invalid_option',
      '/projections/packed_order',
      `"per_head" is [H, 3, d] and needs as many key/value heads as query heads; got ${heads} and ${kvHeads}. ` +
        'Say "per_kv_group" for [G, H/G + 2, d].',
    );
  }
  if (headSize !== valueHeadSize) {
    const detail = `Expected d_k = d_v with "${order}"; got ${headSize} and ${valueHeadSize}.`;
    throw problemAt('invalid_option', '/projections/packed_order', detail);
  }
  const group = heads / kvHeads;
  const groupWidth = (group + 2) * headSize;
  return {
    query: from(heads, (head) => Math.floor(head / group) * groupWidth + (head % group) * headSize),
    key: from(kvHeads, (head) => head * groupWidth + group * headSize),
    value: from(kvHeads, (head) => head * groupWidth + (group + 1) * headSize),
  };
}
