import type { ExtraKey, Linear } from '../domain/call.ts';
import { Problem, problemAt } from '../domain/problem.ts';
import { allocateReal, formatShape, type Precision, type RealArray, type Tensor } from '../domain/tensor.ts';
import { DEFAULT_ORDER, packedColumns } from './packed-order.ts';
import { notDivisible } from './read-heads.ts';
import type { MultiHeadAttentionBody, ProjectionsBody } from './schemas/compute.ts';
import { expectShape, shapeProblem } from './shapes.ts';
import type { Layout } from './suggest-layout.ts';

/** W_Q, W_K, W_V and W_O of a call, with the head sizes that they imply. */
export interface Projections {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear | null;
  readonly headSize: number;
  readonly valueHeadSize: number;
}

/** Widths of the token vectors that each projection reads. */
export interface TokenWidths {
  readonly query: number;
  readonly key: number;
  readonly value: number;
}

type Part = 'query' | 'key' | 'value';

const PARTS: readonly Part[] = ['query', 'key', 'value'];
const WEIGHT_NAME = { query: 'w_q', key: 'w_k', value: 'w_v' } as const;
const BIAS_NAME = { query: 'b_q', key: 'b_k', value: 'b_v' } as const;
/** Columns of w_qkv. */
const PACKED_LETTERS = '(H + 2G)·d';

/** Reads separate or packed projections in either layout. */
export function readProjections(
  body: ProjectionsBody,
  layout: Layout,
  widths: TokenWidths,
  heads: number,
  kvHeads: number,
): Projections {
  const weights =
    body.w_qkv === undefined
      ? readSeparate(body, layout, widths, heads, kvHeads)
      : readPacked(body, body.w_qkv, layout, widths, heads, kvHeads);
  const { headSize, valueHeadSize } = weights;
  const biases = readBiases(body, heads, kvHeads, headSize, valueHeadSize);
  const linear = (part: Part): Linear => ({ ...weights[part], ...biases[part] });
  return {
    query: linear('query'),
    key: linear('key'),
    value: linear('value'),
    output: readOutputProjection(body, layout, heads * valueHeadSize),
    headSize,
    valueHeadSize,
  };
}

type Weights = Record<Part, Omit<Linear, 'bias' | 'biasColumn'>> & {
  headSize: number;
  valueHeadSize: number;
};

/** The strides of a weight by its layout, once its rank is known to be 2; `inputs` says what its input numbers are. */
function matrix(
  pointer: string,
  weight: Tensor<RealArray>,
  layout: Layout,
  inWidth: number,
  letters: string,
  inputs = 'the width of the tokens that it reads',
) {
  const [rows, columns] = weight.shape;
  const inAxis = layout === 'in_out' ? rows : columns;
  const outAxis = layout === 'in_out' ? columns : rows;
  if (weight.shape.length !== 2 || inAxis !== inWidth) {
    const expected = `${axes(inWidth, letters, layout)} with layout "${layout}", ${inWidth} being ${inputs}`;
    throw shapeProblem(pointer, expected, weight);
  }
  const strides =
    layout === 'in_out' ? { inStride: columns, outStride: 1 } : { inStride: 1, outStride: columns };
  return { weight: weight.data, inWidth, outWidth: outAxis, ...strides };
}

function axes(inWidth: number, letters: string, layout: Layout): string {
  return layout === 'in_out' ? `[${inWidth}, ${letters}]` : `[${letters}, ${inWidth}]`;
}

/** Columns of a packed weight that are no whole number for each of its heads. */
function notPacked(
  weight: Tensor,
  layout: Layout,
  width: { readonly in: number; readonly out: number },
  heads: number,
  kvHeads: number,
): Problem {
  const sum = `H + 2G = ${heads} + 2·${kvHeads} = ${heads + 2 * kvHeads}`;
  const expected = `${axes(width.in, PACKED_LETTERS, layout)} with layout "${layout}", ${sum}`;
  const detail = `Expected ${expected}; got ${formatShape(weight.shape)}.`;
  return new Problem('shape_mismatch', `/projections/w_qkv: ${detail}`, [
    { pointer: '/projections/w_qkv', detail },
    { pointer: '/heads', detail: `Expected an H for which ${width.out} is (H + 2G)·d; got ${sum}.` },
  ]);
}

function readSeparate(
  body: ProjectionsBody,
  layout: Layout,
  widths: TokenWidths,
  heads: number,
  kvHeads: number,
): Weights {
  const read = (part: Part) => {
    const name = WEIGHT_NAME[part];
    const weight = body[name];
    if (weight === undefined) {
      throw new Problem(
        'invalid_request',
        `projections needs ${name}, or w_qkv in place of w_q, w_k and w_v.`,
        [{ pointer: `/projections/${name}`, detail: 'Expected a tensor; it is missing, and so is w_qkv.' }],
      );
    }
    const count = part === 'query' ? heads : kvHeads;
    const letters = { query: 'H·d_k', key: 'G·d_k', value: 'G·d_v' }[part];
    const { outWidth, ...linear } = matrix(`/projections/${name}`, weight, layout, widths[part], letters);
    if (outWidth % count !== 0 || outWidth === 0) {
      throw notDivisible(`/projections/${name}`, part === 'query' ? '/heads' : '/kv_heads', outWidth, count);
    }
    const headSize = outWidth / count;
    return { ...linear, headSize, headColumn: Array.from({ length: count }, (_, head) => head * headSize) };
  };
  const [query, key, value] = PARTS.map(read);
  if (key.headSize !== query.headSize) {
    throw problemAt(
      'shape_mismatch',
      '/projections/w_k',
      `Expected G·d_k = ${kvHeads}·${query.headSize} = ${kvHeads * query.headSize} output columns, the head size of w_q; ` +
        `got ${key.headSize * kvHeads}.`,
    );
  }
  return { query, key, value, headSize: query.headSize, valueHeadSize: value.headSize };
}

function readPacked(
  body: ProjectionsBody,
  weight: Tensor<RealArray>,
  layout: Layout,
  widths: TokenWidths,
  heads: number,
  kvHeads: number,
): Weights {
  for (const part of PARTS) {
    if (body[WEIGHT_NAME[part]] === undefined) continue;
    const detail = 'Expected either w_qkv or w_q, w_k and w_v; got both.';
    throw problemAt('invalid_option', `/projections/${WEIGHT_NAME[part]}`, detail);
  }
  for (const part of PARTS) {
    if (widths[part] === widths.query) continue;
    const detail = `Expected separate w_q, w_k and w_v, since ${part}s are projected from tokens of width ${widths[part]} and queries from ${widths.query}; got one packed matrix.`;
    throw problemAt('shape_mismatch', '/projections/w_qkv', detail);
  }
  const { outWidth, ...shared } = matrix('/projections/w_qkv', weight, layout, widths.query, PACKED_LETTERS);
  const headSize = outWidth / (heads + 2 * kvHeads);
  if (!Number.isInteger(headSize) || headSize === 0) {
    throw notPacked(weight, layout, { in: widths.query, out: outWidth }, heads, kvHeads);
  }
  const columns = packedColumns(body.packed_order ?? DEFAULT_ORDER, heads, kvHeads, headSize, headSize);
  const linear = (part: Part) => ({ ...shared, headSize, headColumn: columns[part] });
  return {
    query: linear('query'),
    key: linear('key'),
    value: linear('value'),
    headSize,
    valueHeadSize: headSize,
  };
}

/** Biases, packed or separate, whichever way the weights are. */
function readBiases(
  body: ProjectionsBody,
  heads: number,
  kvHeads: number,
  headSize: number,
  valueHeadSize: number,
): Record<Part, Pick<Linear, 'bias' | 'biasColumn'>> {
  const { w_qkv, b_qkv, packed_order = DEFAULT_ORDER } = body;
  if (w_qkv === undefined && b_qkv === undefined && packed_order !== DEFAULT_ORDER) {
    const detail = 'Expected to be left out: it says how w_qkv and b_qkv are packed, and there is neither.';
    throw problemAt('invalid_option', '/projections/packed_order', detail);
  }
  const size = { query: headSize, key: headSize, value: valueHeadSize };
  const count = { query: heads, key: kvHeads, value: kvHeads };
  if (b_qkv === undefined) {
    const read = (part: Part) => {
      const bias = body[BIAS_NAME[part]];
      if (bias !== undefined) {
        expectShape(
          `/projections/${BIAS_NAME[part]}`,
          bias,
          [count[part] * size[part]],
          part === 'query' ? '[H·d_k]' : part === 'key' ? '[G·d_k]' : '[G·d_v]',
        );
      }
      const biasColumn = Array.from({ length: count[part] }, (_, head) => head * size[part]);
      return { bias: bias?.data ?? null, biasColumn };
    };
    return { query: read('query'), key: read('key'), value: read('value') };
  }
  for (const part of PARTS) {
    if (body[BIAS_NAME[part]] === undefined) continue;
    const detail = 'Expected either b_qkv or b_q, b_k and b_v; got both.';
    throw problemAt('invalid_option', `/projections/${BIAS_NAME[part]}`, detail);
  }
  const width = heads * headSize + kvHeads * (headSize + valueHeadSize);
  expectShape('/projections/b_qkv', b_qkv, [width], `[${PACKED_LETTERS}]`);
  const columns = packedColumns(packed_order, heads, kvHeads, headSize, valueHeadSize);
  const bias = b_qkv.data;
  return {
    query: { bias, biasColumn: columns.query },
    key: { bias, biasColumn: columns.key },
    value: { bias, biasColumn: columns.value },
  };
}

function readOutputProjection(body: ProjectionsBody, layout: Layout, inWidth: number): Linear | null {
  if (body.w_o === undefined) {
    if (body.b_o === undefined) return null;
    throw problemAt('invalid_option', '/projections/b_o', 'Expected w_o beside b_o; got the bias alone.');
  }
  const { outWidth, ...linear } = matrix('/projections/w_o', body.w_o, layout, inWidth, 'D_out', 'H·d_v');
  if (body.b_o !== undefined) expectShape('/projections/b_o', body.b_o, [outWidth], '[D_out]');
  return { ...linear, headSize: outWidth, headColumn: [0], bias: body.b_o?.data ?? null, biasColumn: [0] };
}

/** The learned key and value, then the zero ones. */
export function readExtras(
  body: Pick<MultiHeadAttentionBody, 'k_extra' | 'v_extra' | 'zero_attention'>,
  precision: Precision,
  keyWidth: number,
  valueWidth: number,
): ExtraKey[] {
  const extras: ExtraKey[] = [];
  const { k_extra, v_extra } = body;
  if (k_extra !== undefined && v_extra !== undefined) {
    expectShape('/k_extra', k_extra, [keyWidth], '[G·d_k]');
    expectShape('/v_extra', v_extra, [valueWidth], '[G·d_v]');
    extras.push({ key: k_extra.data, value: v_extra.data });
  } else if (k_extra !== undefined || v_extra !== undefined) {
    const missing = k_extra === undefined ? '/k_extra' : '/v_extra';
    throw problemAt(
      'invalid_option',
      missing,
      'Expected k_extra and v_extra together; got only one of them.',
    );
  }
  if (body.zero_attention === true) {
    extras.push({ key: allocateReal(precision, keyWidth), value: allocateReal(precision, valueWidth) });
  }
  return extras;
}
