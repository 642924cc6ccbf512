import { Problem } from '../domain/problem.ts';
import type { LayerBody } from './schemas/layers.ts';

export type Layout = 'in_out' | 'out_in';

const OTHER = { in_out: 'out_in', out_in: 'in_out' } as const satisfies Record<Layout, Layout>;
const AXES = { in_out: '[in, out]', out_in: '[out, in]' } as const satisfies Record<Layout, string>;

/**
 * The problem of a body whose shapes do not fit, which says so where all of them would in the other layout. `read` reads
 * such a body; `mapping` is the one that has fixed the layout, if one has. Every other error is as it was.
 */
export function suggestLayout<Body extends { readonly layout?: Layout }>(
  error: unknown,
  body: Body,
  read: (body: Body) => unknown,
  mapping: string | null = null,
): unknown {
  if (!(error instanceof Problem && error.code === 'shape_mismatch')) return error;
  const { layout = 'in_out' } = body;
  try {
    read({ ...body, layout: OTHER[layout] });
  } catch {
    return error;
  }
  const hint =
    mapping === null
      ? `It would fit with layout "${OTHER[layout]}".`
      : `It would fit with the matrices transposed: mapping ${mapping} reads them as ${AXES[layout]}.`;
  return withHint(error, hint);
}

/**
 * The problem of a layer whose shapes do not fit. Where those of W_Q and W_K say that several query heads share a key/value
 * head, nothing is transposed: read so, W_K would be of tokens of another width, which a layer alone cannot contradict.
 * The number of key/value heads is told that fits, if one does; every other error is as suggestLayout has it.
 */
export function suggestForLayer(
  error: unknown,
  layer: LayerBody,
  read: (layer: LayerBody) => unknown,
  mapping: string | null,
): unknown {
  const columns = sharedColumnsOf(layer);
  if (columns === null) return suggestLayout(error, layer, read, mapping);
  if (!(error instanceof Problem && error.code === 'shape_mismatch')) return error;
  const kvHeads = (columns.keys * (layer.heads ?? 1)) / columns.queries;
  if (!Number.isInteger(kvHeads)) return error;
  try {
    read({ ...layer, kv_heads: kvHeads });
  } catch {
    return error;
  }
  return withHint(error, `It would fit with kv_heads ${kvHeads}.`);
}

/** Output columns of W_Q and W_K where these read the same tokens and W_K has a whole fraction of the columns; or null. */
function sharedColumnsOf({ projections, layout }: LayerBody): { queries: number; keys: number } | null {
  const [inputs, outputs] = layout === 'out_in' ? [1, 0] : [0, 1];
  const { w_q, w_k } = projections;
  if (w_q?.shape.length !== 2 || w_k?.shape.length !== 2 || w_q.shape[inputs] !== w_k.shape[inputs])
    return null;
  const [queries, keys] = [w_q.shape[outputs], w_k.shape[outputs]];
  return keys < queries && queries % keys === 0 ? { queries, keys } : null;
}

function withHint(error: Problem, hint: string): Problem {
  const [first, ...others] = error.errors;
  const hinted = { ...first, detail: `${first.detail} ${hint}` };
  return new Problem(error.code, `${error.message} ${hint}`, [hinted, ...others]);
}
