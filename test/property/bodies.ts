import type {
  MultiHeadAttentionBody,
  ScaledDotProductAttentionBody,
} from '../../src/contract/schemas/compute.ts';
import type { AttentionOptions } from '../../src/contract/schemas/options.ts';
import type { Precision, RealArray, Tensor } from '../../src/domain/tensor.ts';
import { seeded } from '../support/random.ts';
import type { BroadcastPlan, MhaPlan, OptionsPlan, RopePlan, SdpaPlan, SizesPlan } from './arbitraries.ts';
import { projectionFields } from './projections.ts';
import { TensorMaker } from './tensors.ts';

/** The sizes that options are about. */
export interface CallSizes {
  readonly rank: 2 | 3 | 4;
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly past: number;
  readonly headSize: number;
}

export function callSizes(plan: SizesPlan & { past?: number }): CallSizes {
  const past = plan.past ?? 0;
  const { rank, batch, queries, headSize } = plan;
  return {
    rank,
    batch,
    heads: plan.kvHeads * plan.group,
    queries,
    keys: past + plan.newKeys,
    past,
    headSize,
  };
}

/** A body of scaled dot-product attention, tensors as the wire decodes them. */
export function sdpaBody(plan: SdpaPlan, precision: Precision): ScaledDotProductAttentionBody {
  const make = new TensorMaker(precision, seeded(plan.seed));
  const heads = plan.kvHeads * plan.group;
  // The numbers of each head are the same whatever the rank: [B, heads, N, d], [B, N, heads·d] or [N, heads·d].
  const rows = (count: number, length: number, size: number): Tensor<RealArray> => {
    const split = make.normal(plan.batch, count, length, size);
    if (plan.rank === 4) return split;
    const shape = [...(plan.rank === 3 ? [plan.batch] : []), length, count * size];
    return make.real(shape, (flat) => {
      const [row, column] = [Math.floor(flat / (count * size)), flat % (count * size)];
      const [sample, i, head] = [Math.floor(row / length), row % length, Math.floor(column / size)];
      return split.data[((sample * count + head) * length + i) * size + (column % size)];
    });
  };
  const { kvHeads, queries, newKeys, past, headSize, valueHeadSize } = plan;
  return {
    query: rows(heads, queries, headSize),
    key: rows(kvHeads, newKeys, headSize),
    value: rows(kvHeads, newKeys, valueHeadSize),
    ...(past === 0
      ? {}
      : { past_key: rows(kvHeads, past, headSize), past_value: rows(kvHeads, past, valueHeadSize) }),
    heads,
    kv_heads: kvHeads,
    ...optionFields(plan.options, callSizes(plan), make),
    precision,
  };
}

/** A body of multi-head attention. */
export function mhaBody(plan: MhaPlan, precision: Precision): MultiHeadAttentionBody {
  const make = new TensorMaker(precision, seeded(plan.seed));
  const { batch, queries, newKeys, width, kvHeads, headSize, valueHeadSize } = plan;
  const tokens = (length: number, size: number) =>
    make.normal(...(plan.rank === 3 ? [batch] : []), length, size);
  const isCross = plan.context.startsWith('context');
  const hasValues = plan.context.endsWith('value_context');
  const key = isCross && plan.wider ? width + 2 : width;
  const widths = { query: width, key, value: hasValues && plan.wider ? width + 1 : key };
  return {
    embeddings: tokens(queries, widths.query),
    ...(isCross ? { context: tokens(newKeys, widths.key) } : {}),
    ...(hasValues ? { value_context: tokens(newKeys, widths.value) } : {}),
    ...projectionFields(plan, widths, make),
    ...(plan.extra
      ? { k_extra: make.normal(kvHeads * headSize), v_extra: make.normal(kvHeads * valueHeadSize) }
      : {}),
    ...(plan.zero ? { zero_attention: true } : {}),
    heads: kvHeads * plan.group,
    kv_heads: kvHeads,
    ...optionFields(plan.options, callSizes(plan), make),
    precision,
  };
}

function optionFields(plan: OptionsPlan, sizes: CallSizes, make: TensorMaker): AttentionOptions {
  const { batch, heads, queries, keys } = sizes;
  const shapeOf = ({ rank, perSample, perHead, perQuery }: BroadcastPlan) =>
    rank === 2 ? [queries, keys] : [perSample ? batch : 1, perHead ? heads : 1, perQuery ? queries : 1, keys];
  const { random } = make;
  return {
    ...given('scale', plan.scale),
    ...given('softcap', plan.softcap),
    causal: typeof plan.causal === 'number' ? { offset: plan.causal } : plan.causal,
    ...given('window', plan.window),
    ...(plan.allow === undefined ? {} : { allow_mask: make.bool(shapeOf(plan.allow), 0.7) }),
    ...(plan.forbid === undefined ? {} : { forbid_mask: make.bool(shapeOf(plan.forbid), 0.3) }),
    ...(plan.bias === undefined ? {} : { bias: make.normal(...shapeOf(plan.bias)) }),
    ...(plan.lengths ? { key_lengths: make.index([batch], () => random.below(keys + 1)) } : {}),
    ...(plan.valid ? { key_valid: make.bool([batch, keys], 0.8) } : {}),
    ...(plan.alibi ? { alibi_slopes: make.real([heads], (head) => 2 ** -head) } : {}),
    ...(plan.sinks ? { sinks: make.normal(heads) } : {}),
    ...(plan.rope === undefined || sizes.headSize < 2 ? {} : { rope: ropeField(plan.rope, sizes, make) }),
  };
}

const TABLE_ROWS = 300;

function ropeField(
  plan: RopePlan,
  sizes: CallSizes,
  make: TensorMaker,
): NonNullable<AttentionOptions['rope']> {
  const { batch, queries, keys, past, headSize } = sizes;
  const largest = headSize - (headSize % 2);
  const dims = plan.partial ? 2 : largest;
  const position = () => make.random.below(TABLE_ROWS);
  return {
    pairing: plan.pairing,
    dims,
    ...(plan.tables
      ? { cos: make.normal(TABLE_ROWS, dims / 2), sin: make.normal(TABLE_ROWS, dims / 2) }
      : given('theta', plan.theta)),
    ...(plan.queries === 'offset' ? { offset: 5 } : { positions: make.index([batch, queries], position) }),
    ...(plan.keys === 'positions' ? { key_positions: make.index([batch, keys - past], position) } : {}),
    // With a cache and other numbers of queries and keys, there is no default for where the keys stand.
    ...(plan.keys === 'offset' || (plan.keys === 'default' && past > 0 && queries !== keys - past)
      ? { key_offset: 3 }
      : {}),
  };
}

function given<Name extends string, Value>(name: Name, value: Value | undefined) {
  return (value === undefined ? {} : { [name]: value }) as Partial<Record<Name, Value>>;
}
