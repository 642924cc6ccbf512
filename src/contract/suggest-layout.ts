import { Problem } from '../domain/problem.ts';

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
  const [first, ...others] = error.errors;
  const hinted = { ...first, detail: `${first.detail} ${hint}` };
  return new Problem(error.code, `${error.message} ${hint}`, [hinted, ...others]);
}
