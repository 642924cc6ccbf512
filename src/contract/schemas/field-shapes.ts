/*
 * The shapes that tensor fields have, for what is no array at all: it has no shape that could be held against them.
 */

const HEADS = {
  L: '[B, H, L, d], [B, L, H·d] or [L, H·d]',
  S: '[B, G, S, d], [B, S, G·d] or [S, G·d]',
} as const;
const LOGITS = '[L, S] or [B|1, H|1, L|1, S]';
const MATRIX = '[rows, columns]';

const FIELD_SHAPES: Readonly<Record<string, string>> = {
  query: HEADS.L,
  key: HEADS.S,
  value: HEADS.S,
  past_key: HEADS.S,
  past_value: HEADS.S,
  grad_output: HEADS.L,
  embeddings: '[tokens, D], or [B, tokens, D] for a batch',
  context: '[S, D_context] or [B, S, D_context]',
  value_context: '[S, D_value_context] or [B, S, D_value_context]',
  'projections.w_q': MATRIX,
  'projections.w_k': MATRIX,
  'projections.w_v': MATRIX,
  'projections.w_o': MATRIX,
  'projections.w_qkv': MATRIX,
  'projections.b_q': '[H·d_k]',
  'projections.b_k': '[G·d_k]',
  'projections.b_v': '[G·d_v]',
  'projections.b_o': '[D_out]',
  'projections.b_qkv': '[(H + 2G)·d]',
  k_extra: '[G·d_k]',
  v_extra: '[G·d_v]',
  allow_mask: LOGITS,
  forbid_mask: LOGITS,
  key_lengths: '[B], one count for each sample',
  key_valid: '[B, S]',
  bias: LOGITS,
  alibi_slopes: '[H], one number for each head',
  sinks: '[H], one number for each head',
  'rope.positions': '[B, L]',
  'rope.key_positions': '[B, S]',
  'rope.cos': '[positions, dims/2]',
  'rope.sin': '[positions, dims/2]',
};

/** The shape that the field at a dotted path has, in the letters of the contract; undefined for none that is known. */
export function shapeOfField(path: string): string | undefined {
  return Object.hasOwn(FIELD_SHAPES, path) ? FIELD_SHAPES[path] : undefined;
}
