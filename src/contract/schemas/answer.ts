import { type Static, type TSchema, Type } from '@sinclair/typebox';
import type { AnswerTensor } from '../../domain/answer.ts';
import { PRECISIONS } from '../../domain/tensor.ts';

const closed = { additionalProperties: false } as const;
const numberOrNull = { anyOf: [{ type: 'number' }, { type: 'null' }] };

function nested(rank: number): object {
  return { type: 'array', items: rank === 1 ? numberOrNull : nested(rank - 1) };
}

/** A tensor as responses write it; `response.encoding` chooses the form. */
export const ResultTensorSchema = Type.Unsafe<AnswerTensor>({
  $id: 'ResultTensor',
  title: 'ResultTensor',
  description:
    'Nested arrays (`nested`), or an object with row-major `data`: flat numbers (`flat`) or a base64 string of ' +
    'the little-endian bytes (`base64`). Among JSON numbers null stands for -Infinity: a masked logit, or the ' +
    'log-sum-exp of an empty row.',
  examples: [[[9.715445]]],
  anyOf: [
    ...[1, 2, 3, 4].map(nested),
    {
      type: 'object',
      additionalProperties: false,
      required: ['dtype', 'shape', 'data'],
      properties: {
        dtype: { type: 'string', enum: ['float32', 'float64', 'int32'] },
        shape: { type: 'array', items: { type: 'integer', minimum: 0 } },
        data: {
          anyOf: [
            { type: 'array', items: numberOrNull },
            { type: 'string', contentEncoding: 'base64' },
          ],
        },
      },
    },
  ],
});

const Result = (description: string) =>
  Type.Unsafe<AnswerTensor>({ ...Type.Ref('ResultTensor'), description });

const WeightsResultSchema = Type.Union(
  [
    Type.Unsafe<AnswerTensor>(Type.Ref('ResultTensor')),
    Type.Object(
      {
        indices: Result('Keys, strongest first; ties by lower index.'),
        values: Result('Their weights.'),
      },
      closed,
    ),
  ],
  {
    $id: 'WeightsResult',
    title: 'WeightsResult',
    description:
      'The attention map [B, H, L, S], reduced over heads [B, L, S], or with `top_k` n the strongest keys, [B, H, L, n].',
  },
);

const count = (description: string) => Type.Integer({ minimum: 0, description });

const AppliedSchema = Type.Object(
  {
    operation: Type.Union([
      Type.Literal('scaled_dot_product_attention'),
      Type.Literal('multi_head_attention'),
    ]),
    formula: Type.String({
      description: 'What was computed, as a formula.',
      examples: ['softmax(QKᵀ/√2)·V over keys j <= i'],
    }),
    batch: count('B'),
    query_length: count('L'),
    key_length: count('S, past keys included, extra keys not.'),
    past_length: count('Keys of earlier tokens.'),
    extra_keys: count('Learned and zero keys behind the others; each is one more column of a map.'),
    heads: count('H'),
    kv_heads: count('G'),
    head_size: count('d_k'),
    value_head_size: count('d_v'),
    scale: Type.Number({ description: 'What QKᵀ was multiplied by.' }),
    causal_offset: Type.Union([Type.Integer(), Type.Array(Type.Integer()), Type.Null()], {
      description: 'Key j <= query i + offset; one for each sample where they differ; null where not causal.',
    }),
    layout: Type.String({ description: 'How the projections, or else the tensors, were read.' }),
    precision: Type.Union(PRECISIONS.map((precision) => Type.Literal(precision))),
    kernel: Type.String({ description: 'The kernel that computed it; /v1/info lists them.' }),
    layer: Type.Optional(
      Type.Object(
        { name: Type.String(), etag: Type.String() },
        { ...closed, description: 'The registered layer, and the content that it had.' },
      ),
    ),
  },
  {
    $id: 'Applied',
    title: 'Applied',
    description: 'What was computed, with every default filled in.',
    ...closed,
  },
);

const result = {
  output: Result('[B, H, L, d_v], [B, L, D_out] or [L, D_out]: of the rank of the query.'),
  weights: Type.Optional(
    Type.Unsafe<Static<typeof WeightsResultSchema>>({
      ...Type.Ref('WeightsResult'),
      description: 'Where `return.weights` asks for it.',
    }),
  ),
  logits: Type.Optional(Result('[B, H, L, S], at the stage that `return.logits` names.')),
  log_sum_exp: Type.Optional(
    Result('[B, H, L]: the logarithm of each softmax denominator; null for a query that may see no key.'),
  ),
  present_key: Type.Optional(Result('Past and new keys, rotated where RoPE is on; the next past_key.')),
  present_value: Type.Optional(Result('Past and new values; the next past_value.')),
  empty_rows: count('How many rows of the map may see no key.'),
  applied: Type.Unsafe<Static<typeof AppliedSchema>>(Type.Ref('Applied')),
};

export const AttentionResponseSchema = Type.Object(result, {
  $id: 'AttentionResponse',
  title: 'AttentionResponse',
  description: 'The output, what `return` asked for, and what was applied. A rank-2 query leaves B out.',
  ...closed,
});
export type AttentionResponse = Static<typeof AttentionResponseSchema>;

const GradientsResponseSchema = Type.Object(
  {
    grad_query: Result('∂loss/∂query, shaped as the query.'),
    grad_key: Result('∂loss/∂key, shaped as the key.'),
    grad_value: Result('∂loss/∂value, shaped as the value.'),
    ...result,
  },
  {
    $id: 'GradientsResponse',
    title: 'GradientsResponse',
    description:
      'The vector-Jacobian product of the operation at grad_output, and the result of the operation.',
    ...closed,
  },
);
export type GradientsResponse = Static<typeof GradientsResponseSchema>;

/** Every schema that responses of the compute routes refer to by its $id. */
export const ANSWER_SCHEMAS: readonly TSchema[] = [
  ResultTensorSchema,
  WeightsResultSchema,
  AppliedSchema,
  AttentionResponseSchema,
  GradientsResponseSchema,
];
