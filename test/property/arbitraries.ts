import fc from 'fast-check';

/** Where an option comes with one value for all samples, heads or queries, and where with one for each. */
export interface BroadcastPlan {
  readonly rank: 2 | 4;
  readonly perSample: boolean;
  readonly perHead: boolean;
  readonly perQuery: boolean;
}

/** Options that all compute routes share, as small plain choices that shrink to a plain call. */
export interface OptionsPlan {
  readonly scale: number | undefined;
  readonly softcap: number | undefined;
  readonly causal: 'none' | 'upper_left' | 'lower_right' | number;
  readonly window: { left: number | null; right: number | null } | undefined;
  readonly allow: BroadcastPlan | undefined;
  readonly forbid: BroadcastPlan | undefined;
  readonly bias: BroadcastPlan | undefined;
  readonly lengths: boolean;
  readonly valid: boolean;
  readonly alibi: boolean;
  readonly sinks: boolean;
  readonly rope: RopePlan | undefined;
}

export interface RopePlan {
  readonly pairing: 'half' | 'interleaved';
  readonly partial: boolean;
  readonly theta: number | undefined;
  readonly queries: 'offset' | 'positions';
  readonly keys: 'default' | 'offset' | 'positions';
  readonly tables: boolean;
}

export interface SizesPlan {
  readonly seed: number;
  readonly rank: 2 | 3 | 4;
  readonly batch: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly queries: number;
  readonly newKeys: number;
  readonly headSize: number;
  readonly valueHeadSize: number;
}

export interface SdpaPlan extends SizesPlan {
  readonly past: number;
  readonly options: OptionsPlan;
}

export interface MhaPlan extends SizesPlan {
  readonly width: number;
  readonly context: 'self' | 'context' | 'context and value_context' | 'value_context';
  /** Whether the other sources have tokens of other widths. */
  readonly wider: boolean;
  readonly layout: 'in_out' | 'out_in';
  readonly packed: 'qkv' | 'per_head' | 'per_kv_group' | undefined;
  readonly bias: boolean;
  readonly outputWidth: number | undefined;
  readonly extra: boolean;
  readonly zero: boolean;
  readonly options: OptionsPlan;
}

const optional = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const rarely = fc.integer({ min: 0, max: 4 }).map((n) => n === 4);

const broadcast: fc.Arbitrary<BroadcastPlan> = fc.record({
  rank: fc.constantFrom(2, 4),
  perSample: fc.boolean(),
  perHead: fc.boolean(),
  perQuery: fc.boolean(),
});

const rope: fc.Arbitrary<RopePlan> = fc.record({
  pairing: fc.constantFrom('half', 'interleaved'),
  partial: fc.boolean(),
  theta: optional(fc.constantFrom(100, 500_000)),
  queries: fc.constantFrom('offset', 'positions'),
  keys: fc.constantFrom('default', 'offset', 'positions'),
  tables: rarely,
});

const side = fc.option(fc.integer({ min: 0, max: 8 }), { nil: null });

const options: fc.Arbitrary<OptionsPlan> = fc.record({
  scale: optional(fc.constantFrom(0, 1, -0.5, 0.3)),
  softcap: optional(fc.constantFrom(0.5, 3, 30)),
  causal: fc.oneof(
    fc.constantFrom('none', 'none', 'upper_left', 'lower_right'),
    fc.integer({ min: -6, max: 12 }),
  ),
  window: optional(fc.record({ left: side, right: side })),
  allow: optional(broadcast),
  forbid: optional(broadcast),
  bias: optional(broadcast),
  lengths: rarely,
  valid: rarely,
  alibi: rarely,
  sinks: rarely,
  rope: optional(rope),
}) as fc.Arbitrary<OptionsPlan>;

/** Mostly short, sometimes longer than a block. */
const length = fc.oneof(
  { arbitrary: fc.integer({ min: 1, max: 9 }), weight: 9 },
  { arbitrary: fc.integer({ min: 30, max: 140 }), weight: 1 },
);
const headSize = fc.constantFrom(1, 2, 3, 4, 6, 8, 17);

const sizes = {
  seed: fc.nat(),
  rank: fc.constantFrom<2 | 3 | 4>(4, 3, 2),
  batch: fc.integer({ min: 1, max: 3 }),
  kvHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 3 }),
  queries: length,
  newKeys: length,
  headSize,
  valueHeadSize: headSize,
};

export const sdpaPlans: fc.Arbitrary<SdpaPlan> = fc
  .record({ ...sizes, past: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 7 })), options })
  .map((plan) => (plan.rank === 2 ? { ...plan, batch: 1 } : plan));

export const mhaPlans: fc.Arbitrary<MhaPlan> = fc
  .record({
    ...sizes,
    width: fc.integer({ min: 1, max: 20 }),
    context: fc.constantFrom<MhaPlan['context'][]>(
      'self',
      'self',
      'context',
      'context and value_context',
      'value_context',
    ),
    wider: fc.boolean(),
    layout: fc.constantFrom<MhaPlan['layout'][]>('in_out', 'out_in'),
    packed: optional(fc.constantFrom<NonNullable<MhaPlan['packed']>[]>('qkv', 'per_head', 'per_kv_group')),
    bias: fc.boolean(),
    outputWidth: optional(fc.integer({ min: 1, max: 12 })),
    extra: rarely,
    zero: rarely,
    options,
  })
  .map(consistent);

/** Packed projections have one width and one head size, and `per_head` one key/value head a query head; tokens have rank 2 or 3. */
function consistent(plan: MhaPlan): MhaPlan {
  const rank = plan.rank === 2 ? 2 : 3;
  const isSelf = plan.context === 'self' || plan.context === 'value_context';
  return {
    ...plan,
    rank,
    batch: rank === 2 ? 1 : plan.batch,
    wider: plan.wider && plan.packed === undefined,
    newKeys: isSelf ? plan.queries : plan.newKeys,
    valueHeadSize: plan.packed === undefined ? plan.valueHeadSize : plan.headSize,
    group: plan.packed === 'per_head' ? 1 : plan.group,
  };
}

/** How many cases a property tries, and from which seed: the same in every run unless the environment says otherwise. */
export function parameters(runs: number): { numRuns: number; seed: number } {
  const factor = Number(process.env.PROPERTY_FACTOR ?? 1);
  return { numRuns: Math.round(runs * factor), seed: Number(process.env.PROPERTY_SEED ?? 1) };
}
