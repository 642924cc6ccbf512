import type { Precision, RealArray } from './tensor.ts';

/**
 * One attention call, normalised: every option of the contract has become a number, a stride or a table, and
 * every shape has been checked. Plain data on shared memory, so that it crosses threads without a copy.
 *
 * Letters used here and in the kernels: B batch, L queries, S keys (past ones included), P past keys,
 * E extra keys, H query heads, G key/value heads, d_k head size, d_v value head size.
 */
export interface AttentionCall {
  readonly operation: 'scaled_dot_product_attention' | 'multi_head_attention';
  readonly precision: Precision;
  readonly sizes: Sizes;
  readonly query: HeadSource;
  /** The new keys and values, [B, G, S - P, d]. */
  readonly key: HeadSource;
  readonly value: HeadSource;
  /** Keys and values of earlier tokens, which come first. Keys are taken as already rotated. */
  readonly past: { readonly key: HeadView; readonly value: HeadView } | null;
  /** Keys appended after the last one, which every query may see. */
  readonly extras: readonly ExtraKey[];
  /** W_O and b_O; null where the concatenated heads are the output. */
  readonly outputProjection: Linear | null;
  /** How the caller's projections were read: Q = X·W_Q or Q = X·W_Qᵀ; null where there are none. */
  readonly layout: 'in_out' | 'out_in' | null;
  readonly score: Score;
  readonly visibility: Visibility;
  readonly rope: Rope | null;
  readonly emptyRows: 'zero' | 'error';
  readonly returns: Returns;
  readonly results: ResultLayout;
  /** Where the present keys and values are kept for later calls; not given where nobody keeps them. */
  readonly keptPresent?: KeptPresent;
  /** The registered layer whose projections these are; not given where the caller sent them. */
  readonly layer?: { readonly name: string; readonly etag: string };
  /** Rows of [B, H, L] that come before those of this call, where it has some samples of another one. */
  readonly firstRow?: number;
  /** The append to a session that this call is; not given where it is none. */
  readonly append?: Append;
  /** ∂loss/∂output; only for the gradients operation, which then also computes grad_query, grad_key, grad_value. */
  readonly gradOutput: HeadView | null;
}

export interface Sizes {
  readonly batch: number;
  readonly queries: number;
  /** S: past keys and new keys, without the extra ones. */
  readonly keys: number;
  readonly past: number;
  readonly extras: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly valueHeadSize: number;
  /** Width of one output row: D_out of W_O, or H·d_v. */
  readonly outputWidth: number;
}

/** Element (b, h, i, c) of a [B, heads, rows, d] tensor stands at b·batchStride + h·headStride + i·rowStride + c. */
export interface HeadStrides {
  readonly batchStride: number;
  readonly headStride: number;
  readonly rowStride: number;
}

export interface HeadView extends HeadStrides {
  readonly data: RealArray;
  /** Whether the memory outlives the call, being that of a session. */
  readonly isKept?: boolean;
}

/** An append to a session: the tokens of the call are its next ones. */
export interface Append {
  /** Tokens that the session had before. */
  readonly position: number;
  /** SHA-256 of the embeddings, in hexadecimal digits. */
  readonly digest: string;
  /** Whether the session has had these tokens already, so that they are computed again and not kept. */
  readonly isRepeated: boolean;
}

/** Memory for the keys and values of a call from row `from` on, past ones counted; row j stands where the views say. */
export interface KeptPresent {
  readonly from: number;
  readonly key: HeadView;
  readonly value: HeadView;
}

/** Where the rows of a head come from: given by the caller, or projected from tokens. */
export type HeadSource =
  | {
      readonly kind: 'given';
      readonly view: HeadView /** As the caller sent it. */;
      readonly shape: readonly number[];
    }
  | { readonly kind: 'projected'; readonly linear: Linear; readonly tokens: Tokens };

/** Token vectors, [B, rows, width] contiguous. */
export interface Tokens {
  readonly data: RealArray;
  readonly rows: number;
  readonly width: number;
}

/**
 * y = x·W + b for the columns of each head. Element (k, column) of W is
 * weight[k·inStride + column·outStride]; head h owns the columns headColumn[h] … headColumn[h] + headSize - 1.
 * Both layouts and all packed orders are this one thing with other strides and columns.
 */
export interface Linear {
  readonly weight: RealArray;
  readonly inStride: number;
  readonly outStride: number;
  readonly inWidth: number;
  readonly headSize: number;
  readonly headColumn: readonly number[];
  /** Bias, indexed by column as the weight is; biasColumn[h] is where head h starts in it. */
  readonly bias: RealArray | null;
  readonly biasColumn: readonly number[];
  /** The weight as a kernel has packed it before, so that it need not be packed again. */
  readonly packed?: PackedWeight;
  /** Whether the weight outlives the call, being that of a registered layer. */
  readonly isKept?: boolean;
  /** A name of the weight's numbers: where two have the same one, they are the same. Not given where nobody knows. */
  readonly content?: string;
}

/** A weight as kernels multiply it, on shared memory. */
export interface PackedWeight {
  /** The order of its numbers, which several kernels may have in common. */
  readonly form: string;
  readonly data: RealArray;
}

/** One extra key and value for all samples: [G·d_k] and [G·d_v]. */
export interface ExtraKey {
  readonly key: RealArray;
  readonly value: RealArray;
}

/** Element (b, h, i, j) of a tensor broadcast to [B, H, L, S]: data[b·batchStride + h·headStride + i·queryStride + j]. */
export interface Broadcast<Data extends RealArray | Uint8Array> {
  readonly data: Data;
  readonly batchStride: number;
  readonly headStride: number;
  readonly queryStride: number;
}

/** From the dot product to the logit: softcap(scale·q·k) + bias - slope·|i + offset - j|. */
export interface Score {
  readonly scale: number;
  readonly softcap: number | null;
  readonly bias: Broadcast<RealArray> | null;
  /** [H] */
  readonly alibiSlopes: RealArray | null;
  /** [H]: one more logit in the softmax denominator of each head. */
  readonly sinks: RealArray | null;
}

/** Integers; on shared memory where there may be many, since a call crosses threads for every slice of its work. */
export type Indices = Int32Array | readonly number[];

/** Which keys a query may see. All conditions hold at once. Extra keys are always visible. */
export interface Visibility {
  readonly causal: boolean;
  /** [B]: query i stands at key position i + offset. 0 where causal is none. */
  readonly offsets: Indices;
  /** Keys besides the current one; null is unbounded. */
  readonly windowLeft: number | null;
  readonly windowRight: number | null;
  /** [B]: keys from this count on are padding; S where not given. */
  readonly keyLengths: Indices;
  /** true: may attend. */
  readonly allow: Broadcast<Uint8Array> | null;
  /** true: may not attend. */
  readonly forbid: Broadcast<Uint8Array> | null;
  /** [B, S], true: a real key. */
  readonly keyValid: Uint8Array | null;
}

/** Rotary position embedding (arXiv 2104.09864): pair p of a head turns by the angle position·theta^(-2p/dims). */
export interface Rope {
  readonly pairing: 'half' | 'interleaved';
  readonly theta: number;
  /** How many leading dimensions of the head are rotated. */
  readonly dims: number;
  readonly queryPositions: Positions;
  /** Of the new keys. */
  readonly keyPositions: Positions;
  /** Tables by position in place of the angles, [positions, dims/2]. */
  readonly table: { readonly cos: RealArray; readonly sin: RealArray; readonly rows: number } | null;
}

/** Consecutive positions from a first one, or a table: position (b, i) is table[b·batchStride + i]. */
export type Positions =
  | { readonly kind: 'from'; readonly first: number }
  | { readonly kind: 'table'; readonly table: Float64Array; readonly batchStride: number };

export const LOGIT_STAGES = ['raw', 'scaled', 'capped', 'masked'] as const;
export type LogitStage = (typeof LOGIT_STAGES)[number];

/** What the caller asked for besides the output. */
export interface Returns {
  readonly weights: WeightSelection | null;
  readonly logits: LogitStage | null;
  readonly logSumExp: boolean;
  readonly presentKeyValue: boolean;
}

export interface WeightSelection {
  /** Query heads in the order asked; all of them where the caller named none. */
  readonly heads: Indices;
  readonly queries: Indices;
  readonly reduce: 'mean' | 'max' | null;
  /** The n strongest keys of each row, strongest first, ties by lower index. */
  readonly topK: number | null;
}

/** Shape and, where heads are laid out in it, strides of what the kernels write. */
export interface ResultLayout {
  /** The rank that the caller speaks: 2 leaves the batch axis out of every result. */
  readonly rank: 2 | 3 | 4;
  readonly output: ResultTensor;
  /** Of present_key and present_value; given whether or not they are asked for. */
  readonly presentKey: ResultTensor;
  readonly presentValue: ResultTensor;
}

export interface ResultTensor {
  readonly shape: readonly number[];
  readonly strides: HeadStrides;
}

/** Columns of a map: the keys and the extra keys. */
export function mapColumns(sizes: Sizes): number {
  return sizes.keys + sizes.extras;
}
