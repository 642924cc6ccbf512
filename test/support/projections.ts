import type { AttentionCall, Linear, Sizes } from '../../src/domain/call.ts';
import { allocateReal, type Precision, type RealArray } from '../../src/domain/tensor.ts';
import type { Random } from './random.ts';

/** How the projections of a call are stored. The numbers are the same for every layout and packing. */
export interface Projections {
  readonly width: number;
  /** Width of the tokens that keys and values come from; the query tokens where null. */
  readonly contextWidth: number | null;
  readonly layout: 'in_out' | 'out_in';
  /** One matrix for W_Q, W_K and W_V, in one of the packed orders; null is three. */
  readonly packed: 'qkv' | 'per_head' | 'per_kv_group' | null;
  readonly bias: boolean;
  /** D_out of W_O; null leaves W_O out. */
  readonly outputWidth: number | null;
}

/** Three matrices [in, out] with biases for self-attention, and W_O. */
export function selfAttention(width: number, outputWidth: number): Projections {
  return { width, contextWidth: null, layout: 'in_out', packed: null, bias: true, outputWidth };
}

type Role = 'query' | 'key' | 'value';

/** Weights of one head as [inWidth, size], and its bias. */
interface DenseHead {
  readonly weight: RealArray;
  readonly bias: RealArray;
}

export function projected(
  options: Projections,
  sizes: Sizes,
  precision: Precision,
  random: Random,
): Pick<AttentionCall, 'query' | 'key' | 'value' | 'outputProjection'> {
  const normals = (count: number) => {
    const out = allocateReal(precision, count);
    for (let at = 0; at < count; at++) out[at] = random.normal();
    return out;
  };
  const dense = (heads: number, width: number, size: number): DenseHead[] =>
    Array.from({ length: heads }, () => ({ weight: normals(width * size), bias: normals(size) }));

  const newKeys = sizes.keys - sizes.past;
  const contextWidth = options.contextWidth ?? options.width;
  const tokens = {
    data: normals(sizes.batch * sizes.queries * options.width),
    rows: sizes.queries,
    width: options.width,
  };
  const context =
    options.contextWidth === null
      ? tokens
      : { data: normals(sizes.batch * newKeys * contextWidth), rows: newKeys, width: contextWidth };
  const heads: Record<Role, DenseHead[]> = {
    query: dense(sizes.heads, options.width, sizes.headSize),
    key: dense(sizes.kvHeads, contextWidth, sizes.headSize),
    value: dense(sizes.kvHeads, contextWidth, sizes.valueHeadSize),
  };
  const linears =
    options.packed === null
      ? {
          query: store(
            [{ heads: heads.query, columns: consecutive(sizes.heads, sizes.headSize) }],
            options,
            precision,
          )[0],
          key: store(
            [{ heads: heads.key, columns: consecutive(sizes.kvHeads, sizes.headSize) }],
            options,
            precision,
          )[0],
          value: store(
            [{ heads: heads.value, columns: consecutive(sizes.kvHeads, sizes.valueHeadSize) }],
            options,
            precision,
          )[0],
        }
      : packedLinears(heads, sizes, options, precision);
  const output =
    options.outputWidth === null
      ? null
      : store(
          [{ heads: dense(1, sizes.heads * sizes.valueHeadSize, options.outputWidth), columns: [0] }],
          options,
          precision,
        )[0];
  return {
    query: { kind: 'projected', linear: linears.query, tokens },
    key: { kind: 'projected', linear: linears.key, tokens: context },
    value: { kind: 'projected', linear: linears.value, tokens: context },
    outputProjection: output,
  };
}

function consecutive(heads: number, size: number): number[] {
  return Array.from({ length: heads }, (_, head) => head * size);
}

function packedLinears(
  heads: Record<Role, DenseHead[]>,
  sizes: Sizes,
  options: Projections,
  precision: Precision,
) {
  const { heads: H, kvHeads: G, headSize: d } = sizes;
  const group = H / G;
  const columns: Record<NonNullable<Projections['packed']>, Record<Role, (head: number) => number>> = {
    qkv: { query: (h) => h * d, key: (g) => (H + g) * d, value: (g) => (H + G + g) * d },
    per_head: { query: (h) => 3 * h * d, key: (h) => (3 * h + 1) * d, value: (h) => (3 * h + 2) * d },
    per_kv_group: {
      query: (h) => (Math.floor(h / group) * (group + 2) + (h % group)) * d,
      key: (g) => (g * (group + 2) + group) * d,
      value: (g) => (g * (group + 2) + group + 1) * d,
    },
  };
  const order = columns[options.packed!];
  const roles: Role[] = ['query', 'key', 'value'];
  const [query, key, value] = store(
    roles.map((role) => ({ heads: heads[role], columns: heads[role].map((_, head) => order[role](head)) })),
    options,
    precision,
  );
  return { query, key, value };
}

/** Writes heads that share one matrix into it, and says where each lies. */
function store(
  parts: readonly { heads: readonly DenseHead[]; columns: readonly number[] }[],
  options: Projections,
  precision: Precision,
): Linear[] {
  const inWidth = parts[0].heads[0].weight.length / parts[0].heads[0].bias.length;
  const all = parts.flatMap((part) => part.heads);
  const width = all.reduce((sum, head) => sum + head.bias.length, 0);
  const weight = allocateReal(precision, inWidth * width);
  const bias = options.bias ? allocateReal(precision, width) : null;
  const [inStride, outStride] = options.layout === 'in_out' ? [width, 1] : [1, inWidth];
  for (const { heads, columns } of parts) {
    heads.forEach((head, index) => {
      const size = head.bias.length;
      bias?.set(head.bias, columns[index]);
      for (let k = 0; k < inWidth; k++)
        for (let c = 0; c < size; c++)
          weight[k * inStride + (columns[index] + c) * outStride] = head.weight[k * size + c];
    });
  }
  return parts.map(({ heads, columns }) => ({
    weight,
    inStride,
    outStride,
    inWidth,
    headSize: heads[0].bias.length,
    headColumn: columns,
    bias,
    biasColumn: columns,
  }));
}
