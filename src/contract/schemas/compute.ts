import { type Static, Type } from '@sinclair/typebox';
import { attentionOptions } from './options.ts';
import { Real } from './tensor.ts';

const closed = { additionalProperties: false } as const;

const queryKeyValue = {
  query: Real('[B, H, L, d_k], [B, L, H·d_k] or [L, H·d_k].'),
  key: Real('[B, G, S, d_k], [B, S, G·d_k] or [S, G·d_k].'),
  value: Real('[B, G, S, d_v], [B, S, G·d_v] or [S, G·d_v].'),
  past_key: Type.Optional(Real('Keys of earlier tokens, which come first; already rotated.')),
  past_value: Type.Optional(Real('Values of earlier tokens.')),
};

export const ScaledDotProductAttentionSchema = Type.Object(
  { ...queryKeyValue, ...attentionOptions },
  { ...closed, $id: 'ScaledDotProductAttentionRequest', title: 'ScaledDotProductAttentionRequest' },
);
export type ScaledDotProductAttentionBody = Static<typeof ScaledDotProductAttentionSchema>;

export const GradientsSchema = Type.Object(
  { ...queryKeyValue, grad_output: Real('∂loss/∂output, shaped as the output.'), ...attentionOptions },
  { ...closed, $id: 'GradientsRequest', title: 'GradientsRequest' },
);
export type GradientsBody = Static<typeof GradientsSchema>;

export const PACKED_ORDERS = ['qkv', 'per_head', 'per_kv_group'] as const;

export const ProjectionsSchema = Type.Object(
  {
    w_q: Type.Optional(Real('[D, H·d_k], or its transpose with layout `out_in`.')),
    w_k: Type.Optional(Real('[D_context, G·d_k]')),
    w_v: Type.Optional(Real('[D_value_context, G·d_v]')),
    w_o: Type.Optional(Real('[H·d_v, D_out]; without it the concatenated heads are the output.')),
    b_q: Type.Optional(Real('[H·d_k]')),
    b_k: Type.Optional(Real('[G·d_k]')),
    b_v: Type.Optional(Real('[G·d_v]')),
    b_o: Type.Optional(Real('[D_out]')),
    w_qkv: Type.Optional(
      Real('W_Q, W_K and W_V in one, [D, (H + 2G)·d], or its transpose with layout `out_in`.'),
    ),
    b_qkv: Type.Optional(Real('[(H + 2G)·d], in the order of w_qkv.')),
    packed_order: Type.Optional(
      Type.Union(
        PACKED_ORDERS.map((order) => Type.Literal(order)),
        {
          default: 'qkv',
          description:
            'How w_qkv is packed: `qkv` [3, H·d] (all of q, then k, then v), `per_head` [H, 3, d], ' +
            '`per_kv_group` [G, H/G + 2, d].',
        },
      ),
    ),
  },
  {
    ...closed,
    $id: 'Projections',
    title: 'Projections',
    description: 'The learned matrices: w_q, w_k, w_v or w_qkv, and what goes with them.',
  },
);
export type ProjectionsBody = Static<typeof ProjectionsSchema>;

/** How projections are to be read and what they add to the keys; a registered layer keeps these with them. */
export const projectionOptions = {
  layout: Type.Optional(
    Type.Union([Type.Literal('in_out'), Type.Literal('out_in')], {
      default: 'in_out',
      description: '`in_out`: Q = X·W_Q. `out_in`: Q = X·W_Qᵀ, as PyTorch keeps it.',
    }),
  ),
  k_extra: Type.Optional(Real('[G·d_k]: one learned key that every query may see.')),
  v_extra: Type.Optional(Real('[G·d_v]: its value.')),
  zero_attention: Type.Optional(
    Type.Boolean({ description: 'One zero key and value that every query may see.' }),
  ),
};

/** The token vectors that a layer reads. */
export const tokenFields = {
  embeddings: Real('[B, L, D] or [L, D]: one vector a token.'),
  context: Type.Optional(
    Real('[B, S, D_context] or [S, D_context]: keys and values come from it (cross-attention).'),
  ),
  value_context: Type.Optional(Real('[B, S, D_value_context] or [S, …]: values come from it.')),
};

export const MultiHeadAttentionSchema = Type.Object(
  {
    ...tokenFields,
    projections: Type.Unsafe<ProjectionsBody>(Type.Ref('Projections')),
    ...projectionOptions,
    ...attentionOptions,
  },
  { ...closed, $id: 'MultiHeadAttentionRequest', title: 'MultiHeadAttentionRequest' },
);
export type MultiHeadAttentionBody = Static<typeof MultiHeadAttentionSchema>;
