import type { AttentionResponse, GradientsResponse } from '../contract/schemas/answer.ts';
import type {
  GradientsBody,
  MultiHeadAttentionBody,
  ScaledDotProductAttentionBody,
} from '../contract/schemas/compute.ts';
import type { LayerAttentionBody, LayerBody } from '../contract/schemas/layers.ts';
import type { AttentionOptions } from '../contract/schemas/options.ts';
import type { AppendBody, AppendResponse } from '../contract/schemas/sessions.ts';
import type { DType, Precision, RealArray, Tensor } from '../domain/tensor.ts';

type Nested<Element> =
  | readonly Element[]
  | readonly (readonly Element[])[]
  | readonly (readonly (readonly Element[])[])[]
  | readonly (readonly (readonly (readonly Element[])[])[])[];

interface Shaped<Data> {
  /** What the array is of, where not given. */
  readonly dtype?: DType | undefined;
  readonly shape: readonly number[];
  /** Row-major elements. */
  readonly data: Data;
}

/** Row-major elements as little-endian bytes, or as those in base64. */
interface Bytes {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | Uint16Array | string;
}

/**
 * Numbers, as a call takes them: nested arrays, or a shape with a typed array, plain numbers or bytes (float16 and
 * bfloat16). A tensor of a result is one too.
 */
export type NumberTensor =
  | Nested<number>
  | Shaped<RealArray | Int32Array | BigInt64Array | readonly number[]>
  | Bytes;

/** A mask, as a call takes it: nested arrays, or a shape with one byte an element, 0 or 1, or plain booleans. */
export type BoolTensor = Nested<boolean> | Shaped<Uint8Array | readonly boolean[]>;

/** A body as the schema describes it, with tensors in the forms that a caller has them in. */
type Sent<Body> =
  Body extends Tensor<infer Data>
    ? [Data] extends [Uint8Array]
      ? BoolTensor
      : NumberTensor
    : Body extends readonly (infer Item)[]
      ? readonly Item[]
      : Body extends object
        ? { readonly [Name in keyof Body]: Sent<Body[Name]> }
        : Body;

/** What a call may ask for besides the output. */
export type Returns = Sent<NonNullable<AttentionOptions['return']>>;

/** A body, with what decides about the type of the result kept apart. How results are written is the client's affair. */
type Call<Body, P extends Precision, R extends Returns> = Sent<
  Omit<Body, 'response' | 'return' | 'precision'>
> & {
  readonly precision?: P;
  readonly return?: R & Readonly<Record<Exclude<keyof R, keyof Returns>, never>>;
};

export type ScaledDotProductAttentionCall<
  P extends Precision = Precision,
  R extends Returns = Returns,
> = Call<ScaledDotProductAttentionBody, P, R>;
export type GradientsCall<P extends Precision = Precision, R extends Returns = Returns> = Call<
  GradientsBody,
  P,
  R
>;
export type MultiHeadAttentionCall<P extends Precision = Precision, R extends Returns = Returns> = Call<
  MultiHeadAttentionBody,
  P,
  R
>;
export type LayerAttentionCall<P extends Precision = Precision, R extends Returns = Returns> = Call<
  LayerAttentionBody,
  P,
  R
>;

/** What a layer is registered as: its projections, and the options that belong to it. */
export type LayerDefinition = Sent<LayerBody>;

/** What an append may ask for besides the output. */
export type AppendReturns = Sent<NonNullable<AppendBody['return']>>;

/** The next tokens of a session, [n, D]. Where they go the session knows. */
export type AppendCall<R extends AppendReturns = AppendReturns> = Sent<Pick<AppendBody, 'embeddings'>> & {
  readonly return?: R & Readonly<Record<Exclude<keyof R, keyof AppendReturns>, never>>;
};

/** A tensor of a result: row-major elements. */
export interface ResultTensor<Data extends RealArray | Int32Array = RealArray> {
  readonly dtype: Data extends Float64Array ? 'float64' : Data extends Int32Array ? 'int32' : 'float32';
  readonly shape: readonly number[];
  readonly data: Data;
}

/** The strongest keys of each query. */
export interface TopWeights<Data extends RealArray = RealArray> {
  readonly indices: ResultTensor<Int32Array>;
  readonly values: ResultTensor<Data>;
}

type DataOf<P extends Precision> = P extends 'float64' ? Float64Array : Float32Array;

/** The members that `return` decides about: there where it is asked for, absent where not, else perhaps there. */
type Returned<R, Option extends keyof Returns, Results> = Option extends keyof R
  ? R[Option] extends false | undefined
    ? unknown
    : undefined extends R[Option]
      ? Partial<Results>
      : false extends R[Option]
        ? Partial<Results>
        : Results
  : unknown;

/** The whole map, or the strongest keys where `top_k` is there. */
type Weights<R, Data extends RealArray> = R extends { readonly weights?: infer Asked }
  ? Asked extends boolean | undefined
    ? ResultTensor<Data>
    : Asked extends { readonly top_k: number }
      ? TopWeights<Data>
      : 'top_k' extends keyof Asked
        ? ResultTensor<Data> | TopWeights<Data>
        : ResultTensor<Data>
  : never;

type Results<P extends Precision, R, Data extends RealArray = DataOf<P>> = {
  readonly output: ResultTensor<Data>;
} & Omit<AttentionResponse, Replaced> &
  Returned<R, 'weights', { readonly weights: Weights<R, Data> }> &
  Returned<R, 'logits', { readonly logits: ResultTensor<Data> }> &
  Returned<R, 'log_sum_exp', { readonly log_sum_exp: ResultTensor<Data> }> &
  Returned<R, 'kv', { readonly present_key: ResultTensor<Data>; readonly present_value: ResultTensor<Data> }>;

type Replaced = 'output' | 'weights' | 'logits' | 'log_sum_exp' | 'present_key' | 'present_value';

/** What a call gives: tensors of float64 where `precision` is that, else of float32. */
export type AttentionResult<P extends Precision = Precision, R = Returns> = Results<P, R>;

/** The vector-Jacobian product, and what the operation gives. */
export type GradientsResult<P extends Precision = Precision, R = Returns> = Results<P, R> & {
  readonly [Name in Exclude<keyof GradientsResponse, keyof AttentionResponse>]: ResultTensor<DataOf<P>>;
};

/** What an append gives: outputs of the new tokens, in the precision of the layer, and where the session stands. */
export type AppendResult<R = AppendReturns> = Results<Precision, R> &
  Pick<AppendResponse, Exclude<keyof AppendResponse, keyof AttentionResponse>>;
