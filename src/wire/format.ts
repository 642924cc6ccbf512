import type { TensorFields } from '../contract/schemas/tensor.ts';
import type { Answer } from '../domain/answer.ts';
import type { Limits } from '../domain/limits.ts';
import type { Precision, Tensor } from '../domain/tensor.ts';
import type { InferenceResponse } from './kserve/inference.ts';
import type { Places } from './places.ts';

/** The one form that every format is decoded to: named tensors, and a small plain rest. */
export interface Decoded {
  /** The body without its tensors. Plain data that `JSON.parse` made. */
  readonly envelope: Record<string, unknown>;
  /** By dotted path, such as `projections.w_q`; checked, and held as the kind of the field asks. */
  readonly tensors: Record<string, Tensor>;
  /**
   * Everything that this says but the elements of its tensors: bodies of the same form differ in these only. Not given
   * where nobody has put it together.
   */
  readonly form?: string | undefined;
  /** What the body says about its answer's form, where the format keeps that apart from the envelope. */
  readonly reply?: Omit<EncodeOptions, 'encoding'> | undefined;
  /** Milliseconds from its arrival after which the answer is of no use, where the body says so. */
  readonly timeoutMs?: number | undefined;
  /** Where the body has what stands elsewhere here, if it does. */
  readonly places?: Places | undefined;
}

export interface DecodeOptions {
  /** The tensor fields of the operation; what stands at these paths is read as a tensor, nothing else is. */
  readonly fields: TensorFields;
  readonly limits: Limits;
  /** The precision of the call where its body says none; float32 where this does not either. */
  readonly precision?: Precision | undefined;
  /** What an inference request says outside its body. */
  readonly inference?: InferenceTarget | undefined;
}

/** What the address and the headers of an inference request say. */
export interface InferenceTarget {
  readonly model: string;
  readonly version?: string | undefined;
  /** Bytes of the part of the body that is JSON, where a header tells that binary tensors follow. */
  readonly headerBytes?: number | undefined;
  /** Whether the request belongs to a sequence, of which its parameters have been read. */
  readonly inSequence?: boolean | undefined;
}

/** How tensors are written where the format leaves a choice. */
export type TensorEncoding = 'nested' | 'flat' | 'base64';

export interface EncodeOptions {
  readonly encoding: TensorEncoding;
  /** What the answer of an inference request is to look like. */
  readonly inference?: InferenceResponse | undefined;
}

export interface Encoded {
  /** On memory that was lent for it (see `lending`), or an ArrayBuffer of their own, which they fill. */
  readonly bytes: Uint8Array;
  /** Bytes of the part that is JSON, where binary tensors follow and a header of the response has to tell. */
  readonly headerBytes?: number | undefined;
  /** Samples of the batch that was computed, where statistics count them. */
  readonly batch?: number | undefined;
}

/** One format of request and response bodies: one row of the registry, one folder or file. */
export interface WireFormat {
  /** Short and stable: names the format to other threads. */
  readonly name: string;
  /**
   * Media type, without parameters, in lower case, by which Content-Type and Accept choose the format; null where the
   * address does.
   */
  readonly mediaType: string | null;
  /** Reads a request body, which may lie on shared memory. Throws a Problem where it cannot be used. */
  readonly decode?: (bytes: Uint8Array, options: DecodeOptions) => Decoded;
  /**
   * The part of a body that says everything but the elements of its tensors, which lie behind it as they are: bodies of
   * one length that begin alike differ in their elements only. undefined where this body has no such part.
   */
  readonly headOf?: (bytes: Uint8Array, inference: InferenceTarget | undefined) => Uint8Array | undefined;
  /**
   * Whether such a body holds tensors as they are used, so that reading it costs little more than a look at each number
   * (some gigabytes a second); not, where not given.
   */
  readonly readsRaw?: (inference: InferenceTarget | undefined) => boolean;
  /** Writes a response body. */
  readonly encode?: (answer: Answer, options: EncodeOptions) => Encoded;
  /** Whether such an answer holds tensors as they are, so that writing it costs little more than a copy. */
  readonly writesRaw?: (options: EncodeOptions) => boolean;
}
