import { type BodyTensor, bools, build, element, type Numbers, reals } from './arrays.ts';

/** What a mask of another system becomes here. */
export interface MaskFields {
  readonly bias?: BodyTensor;
  readonly allow_mask?: BodyTensor;
  readonly forbid_mask?: BodyTensor;
}

/**
 * A float mask: finite entries are a bias, -Infinity forbids. (Requests hold only finite numbers, so that a NaN or an
 * infinity that crept into the data is told.)
 */
export function additive(mask: Numbers): MaskFields {
  const forbidden = mask.values.map((value) => (value === Number.NEGATIVE_INFINITY ? 1 : 0));
  const finite = mask.values.map((value) => (value === Number.NEGATIVE_INFINITY ? 0 : value));
  const bias = reals({ shape: mask.shape, values: finite });
  if (!forbidden.includes(1)) return { bias };
  return { bias, forbid_mask: bools({ shape: mask.shape, values: forbidden }) };
}

/** Leading axes of length 1 up to rank 4, [B|1, H|1, L|1, S]. */
export function toRank4(mask: Numbers): Numbers {
  return { shape: [...new Array(4 - mask.shape.length).fill(1), ...mask.shape], values: mask.values };
}

/** Columns up to `keys`, filled; a mask that is shorter than the keys says nothing about the rest. */
export function widened(mask: Numbers, keys: number, fill: number): Numbers {
  const [batch, heads, queries, columns] = mask.shape;
  return build([batch, heads, queries, keys], (b, h, i, j) =>
    j < columns ? element(mask, b, h, i, Math.min(j, columns - 1)) : fill,
  );
}

/** [1, 1, L, S] as the plain [L, S] where it is that. */
export function toRank2(mask: Numbers, queries: number): Numbers {
  const [batch, heads, rows, keys] = mask.shape;
  return batch === 1 && heads === 1 && rows === queries ? { shape: [rows, keys], values: mask.values } : mask;
}
