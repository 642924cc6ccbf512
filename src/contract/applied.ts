import type { Json } from '../domain/answer.ts';
import type { AttentionCall } from '../domain/call.ts';
import { formulaOf } from '../domain/formula.ts';

/** What was computed, with every default filled in: the `applied` member of a response. */
export function appliedOf(call: AttentionCall, kernel: string): Record<string, Json> {
  const { sizes, score, visibility } = call;
  return {
    operation: call.operation,
    formula: formulaOf(call),
    batch: sizes.batch,
    query_length: sizes.queries,
    key_length: sizes.keys,
    past_length: sizes.past,
    extra_keys: sizes.extras,
    heads: sizes.heads,
    kv_heads: sizes.kvHeads,
    head_size: sizes.headSize,
    value_head_size: sizes.valueHeadSize,
    scale: score.scale,
    causal_offset: visibility.causal ? offsetOf(visibility.offsets) : null,
    layout: call.layout ?? TENSOR_LAYOUT[call.results.rank],
    precision: call.precision,
    kernel,
    ...(call.layer === undefined ? {} : { layer: { ...call.layer } }),
  };
}

/** How the tensors of scaled dot-product attention were read, by the rank of the query. */
const TENSOR_LAYOUT = { 2: '[L, H·d]', 3: '[B, L, H·d]', 4: '[B, H, L, d]' } as const;

/** One number where all samples share it, else one for each sample. */
function offsetOf(offsets: ArrayLike<number>): Json {
  const list = Array.from(offsets);
  return list.every((offset) => offset === list[0]) ? list[0] : list;
}
