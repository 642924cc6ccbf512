import { type Static, Type } from '@sinclair/typebox';
import { LOGIT_STAGES } from '../../domain/call.ts';
import { PRECISIONS } from '../../domain/tensor.ts';
import { Bool, Index, Real } from './tensor.ts';

const closed = { additionalProperties: false } as const;

export const CausalSchema = Type.Union(
  [
    Type.Boolean(),
    Type.Literal('none'),
    Type.Literal('upper_left'),
    Type.Literal('lower_right'),
    Type.Object({ offset: Type.Integer() }, closed),
  ],
  {
    $id: 'Causal',
    title: 'Causal',
    description:
      '`upper_left`: key j <= query i. `lower_right`: j <= i + S - L, S being the `key_lengths` entry of the ' +
      'sample where given. `{"offset": n}`: j <= i + n. `true` is taken only where L = S or a cache fixes the offset.',
  },
);

export const WindowSchema = Type.Object(
  {
    left: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
    right: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
  },
  {
    ...closed,
    $id: 'Window',
    title: 'Window',
    description:
      'Keys besides the current one that a query may see to its left and right; null is unbounded. Under the same ' +
      'offset as `causal`, 0 where that is `none`.',
  },
);

export const RopeSchema = Type.Object(
  {
    pairing: Type.Union([Type.Literal('half'), Type.Literal('interleaved')], {
      description:
        '`half` pairs dimension p with p + dims/2 (GPT-NeoX, Llama); `interleaved` pairs 2p with 2p + 1 (GPT-J).',
    }),
    theta: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, default: 10000, description: 'Base of the angles.' }),
    ),
    dims: Type.Optional(
      Type.Integer({
        minimum: 2,
        description: 'Leading dimensions that are rotated, even; all where not given.',
      }),
    ),
    offset: Type.Optional(Type.Integer({ default: 0, description: 'Position of the first query.' })),
    key_offset: Type.Optional(
      Type.Integer({
        description:
          'Position of the first (new) key; as `offset` where keys come from the query tokens, else 0.',
      }),
    ),
    positions: Type.Optional(Index('Position of each query, [B, L].')),
    key_positions: Type.Optional(
      Index('Position of each key, [B, S]; as `positions` where keys come from the query tokens.'),
    ),
    cos: Type.Optional(
      Real(
        'Cosines by position, [positions, dims/2], in place of those of `theta` (scaled or learned RoPE).',
      ),
    ),
    sin: Type.Optional(Real('Sines by position, shaped as `cos`.')),
  },
  {
    ...closed,
    $id: 'Rope',
    title: 'Rope',
    description: 'Rotary position embedding of queries and new keys; past keys are taken as already rotated.',
  },
);

const Heads = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1, maxItems: 65536 });

export const ReturnSchema = Type.Object(
  {
    weights: Type.Optional(
      Type.Union([
        Type.Boolean(),
        Type.Object(
          {
            heads: Type.Optional(Heads),
            queries: Type.Optional(Heads),
            reduce: Type.Optional(Type.Union([Type.Literal('mean'), Type.Literal('max')])),
            top_k: Type.Optional(Type.Integer({ minimum: 1 })),
          },
          closed,
        ),
      ]),
    ),
    logits: Type.Optional(Type.Union(LOGIT_STAGES.map((stage) => Type.Literal(stage)))),
    log_sum_exp: Type.Optional(Type.Boolean()),
    kv: Type.Optional(Type.Boolean()),
  },
  {
    ...closed,
    $id: 'Return',
    title: 'Return',
    description:
      'What to send besides the output, which is the same to the bit whatever is asked for. `weights`: the ' +
      'attention map, of chosen `heads` and `queries` (in the order asked), reduced over heads, or the `top_k` ' +
      'strongest keys. `logits`: `raw` QKᵀ, `scaled`, `capped` after the softcap, `masked` after bias and masks. ' +
      '`log_sum_exp` of each row. `kv`: `present_key` and `present_value`.',
  },
);

export const ENCODINGS = ['nested', 'flat', 'base64'] as const;

export const ResponseOptionsSchema = Type.Object(
  {
    encoding: Type.Optional(
      Type.Union(
        ENCODINGS.map((encoding) => Type.Literal(encoding)),
        { default: 'nested' },
      ),
    ),
  },
  {
    ...closed,
    $id: 'ResponseOptions',
    title: 'ResponseOptions',
    description: 'How tensors of the response are written.',
  },
);

/** The attention options that every compute route shares. */
export const attentionOptions = {
  heads: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'Query heads H. 1 where not given, or what a rank-4 query has.',
    }),
  ),
  kv_heads: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'Key/value heads G; query head h reads head h // (H/G). H where not given.',
    }),
  ),
  scale: Type.Optional(
    Type.Number({
      description: 'Multiplies QKᵀ; 0 and negatives are taken literally. 1/√d_k where not given.',
    }),
  ),
  softcap: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'c·tanh(s/c), after the scale.' })),
  causal: Type.Optional(Type.Unsafe<Static<typeof CausalSchema>>(Type.Ref('Causal'))),
  window: Type.Optional(Type.Unsafe<Static<typeof WindowSchema>>(Type.Ref('Window'))),
  allow_mask: Type.Optional(Bool('true: may attend. [L, S] or [B|1, H|1, L|1, S].')),
  forbid_mask: Type.Optional(Bool('true: may not attend. [L, S] or [B|1, H|1, L|1, S].')),
  key_lengths: Type.Optional(Index('[B]: how many keys of each sample are real; the rest is padding.')),
  key_valid: Type.Optional(Bool('[B, S], true: a real key.')),
  bias: Type.Optional(Real('Added to the logits after the softcap. [L, S] or [B|1, H|1, L|1, S].')),
  alibi_slopes: Type.Optional(Real('[H]: adds -slope·|i + offset - j| (ALiBi).')),
  sinks: Type.Optional(Real('[H]: one more logit in each softmax denominator.')),
  rope: Type.Optional(Type.Unsafe<Static<typeof RopeSchema>>(Type.Ref('Rope'))),
  empty_rows: Type.Optional(
    Type.Union([Type.Literal('zero'), Type.Literal('error')], {
      default: 'zero',
      description: 'A query that may see no key: zero weights and head output, or a 422.',
    }),
  ),
  precision: Type.Optional(
    Type.Union(
      PRECISIONS.map((precision) => Type.Literal(precision)),
      {
        default: 'float32',
        description:
          '`float64` is the reference arithmetic, float64 out. `bfloat16` rounds the operands of every product to ' +
          'bfloat16 (inputs, weights, heads, attention weights) and computes the rest in float32, float32 out; ' +
          'gradients do not take it.',
      },
    ),
  ),
  return: Type.Optional(Type.Unsafe<Static<typeof ReturnSchema>>(Type.Ref('Return'))),
  response: Type.Optional(Type.Unsafe<Static<typeof ResponseOptionsSchema>>(Type.Ref('ResponseOptions'))),
};

const AttentionOptionsSchema = Type.Object(attentionOptions, closed);
export type AttentionOptions = Static<typeof AttentionOptionsSchema>;
