import type { DType, RealArray } from './tensor.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** A tensor of a response. */
export interface AnswerTensor {
  readonly dtype: Extract<DType, 'float32' | 'float64' | 'int32'>;
  readonly shape: readonly number[];
  readonly data: RealArray | Int32Array;
  /** Bytes of the memory right before `data` that hold nothing any more; 0 where not given. */
  readonly room?: number | undefined;
}

/**
 * What a response says, in the one form that every wire format writes: named tensors (a dotted name such as
 * `weights.indices` stands for a member of an object) and a small plain rest.
 */
export interface Answer {
  readonly tensors: Readonly<Record<string, AnswerTensor>>;
  readonly envelope: Readonly<Record<string, Json>>;
}
