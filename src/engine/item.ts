import type { LayerBody } from '../contract/schemas/layers.ts';
import type { TensorFields } from '../contract/schemas/tensor.ts';
import type { Answer } from '../domain/answer.ts';
import type { Limits } from '../domain/limits.ts';
import { Problem, type ProblemData } from '../domain/problem.ts';
import type { Job } from '../kernels/kernel.ts';
import type { Decoded, Encoded, EncodeOptions } from '../wire/format.ts';
import type { LayerFile, LayerRequest } from './layer-work.ts';
import type { CallRequest, ReadRequest } from './request.ts';
import type { Part, Progress } from './shared-job.ts';
import type { Means, WholeAnswer } from './whole-call.ts';

/** What a worker is given to do at a time. Tensor data lies on shared memory, so that no message copies it. */
export type Item =
  | RequestItem
  | DecodeItem
  | ComputeItem
  | EncodeItem
  | MakeLayerItem
  | OpenLayerItem
  | BatchItem
  | PingItem;

/** A whole request: to be read, and computed and answered at once where the means allow it. */
export interface RequestItem extends Means {
  readonly kind: 'request';
  readonly request: CallRequest;
  readonly limits: Limits;
  /** Name of the kernel that is preferred, null where none is. */
  readonly kernel: string | null;
}

export interface DecodeItem {
  readonly kind: 'decode';
  readonly format: string;
  readonly bytes: Uint8Array;
  readonly fields: TensorFields;
  readonly limits: Limits;
}

/** Tiles of a job: some of one stage, all of a group of samples, or whatever is left of a job that the workers share. */
export interface ComputeItem {
  readonly kind: 'compute';
  readonly jobId: number;
  /** null where the worker's last compute item was of the same job, so that it has it already. */
  readonly job: Job | null;
  readonly kernel: string;
  readonly tiles: TileRange | Progress | WholeJob;
  /** Whether the call refers to memory that is neither the pool's nor kept, and so has to be weighed. */
  readonly isFresh: boolean;
}

/** All of a job, or of one group of its samples, with so many helpers of the kernel. */
export interface WholeJob {
  readonly helpers: number;
  readonly group?: number;
}

/** Tiles [from, to) of one stage. */
export interface TileRange {
  readonly stage: number;
  readonly from: number;
  readonly to: number;
}

export interface EncodeItem {
  readonly kind: 'encode';
  readonly format: string;
  readonly answer: Answer;
  readonly options: EncodeOptions;
  /** Where the bytes may be put, if they fit. */
  readonly memory: SharedArrayBuffer;
}

/** A body that is to become the file of a layer. */
export interface MakeLayerItem {
  readonly kind: 'make_layer';
  readonly request: LayerRequest;
  readonly limits: Limits;
}

/** The file of a layer, which is to be checked against its hash and read. */
export interface OpenLayerItem {
  readonly kind: 'open_layer';
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly limits: Limits;
}

/** Requests of one layer, to be done at one go. */
export interface BatchItem {
  readonly kind: 'batch';
  readonly items: readonly RequestItem[];
}

/** Asks for nothing but a sign that the worker is up. */
export interface PingItem {
  readonly kind: 'ping';
}

/** What comes back. */
export type ItemResult =
  | { readonly kind: 'read'; readonly read: ReadRequest; readonly readMs: number }
  | {
      readonly kind: 'answered';
      readonly answer: WholeAnswer;
      readonly readMs: number;
      /** From the beginning of the item to its end. */
      readonly runMs: number;
    }
  | { readonly kind: 'decoded'; readonly decoded: Decoded }
  | ({ readonly kind: 'computed'; readonly runMs: number } & Part)
  | { readonly kind: 'encoded'; readonly encoded: Encoded }
  | { readonly kind: 'layer_made'; readonly file: LayerFile }
  | { readonly kind: 'layer_opened'; readonly layer: LayerBody | null }
  /** One for each item of a batch. */
  | { readonly kind: 'batch'; readonly results: readonly ItemResult[]; readonly runMs: number }
  | { readonly kind: 'up' }
  | { readonly kind: 'problem'; readonly problem: ProblemData }
  | { readonly kind: 'error'; readonly error: unknown };

/** What an item threw, or null where it did not. */
export function failureOf(result: ItemResult): unknown {
  if (result.kind === 'problem') return Problem.from(result.problem);
  return result.kind === 'error' ? result.error : null;
}
