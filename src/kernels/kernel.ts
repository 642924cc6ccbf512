import type { AttentionCall } from '../domain/call.ts';
import type { Precision, RealArray } from '../domain/tensor.ts';
import type { JobStatus } from './status.ts';

/**
 * A way of computing attention calls. The engine asks for a plan, allocates the memory it names, and has workers
 * compute the tiles of one stage after the other; tiles of one stage may run at the same time in any order.
 *
 * The contract of every kernel, held by test/kernels/contract: results within the stated error of the float64
 * reference; the same bits whatever the number of workers, the order of tiles, the other samples of the batch and
 * what is returned besides the output; nothing of a forbidden key in any result; no allocation per tile.
 */
export interface Kernel {
  readonly name: string;
  readonly precision: Precision;
  /** About the floating-point operations that a thread does in a millisecond, for as long as nobody has measured it. */
  readonly flopsPerMs: number;
  /** Whether the kernel computes calls like this; all of its precision where not given. */
  supports?(call: AttentionCall): boolean;
  /**
   * Whether there is none faster of its precision for calls like this, of those that it supports; all where not given.
   * It depends on the sizes of a sample alone: not on how many there are, or on what is returned.
   */
  suits?(call: AttentionCall): boolean;
  plan(call: AttentionCall): Plan;
  /**
   * The call of a finished job with its weights as the job has packed them. Calls made with these projections plan no
   * packing, in whatever thread: this is how registered layers are kept. Not given where weights are read as they are.
   */
  keepPacked?(job: Pick<Job, 'call' | 'memory'>): AttentionCall;
  /** Computes one tile, 0 <= tile < stage.tiles. Reports empty rows and overflows in `job.status`. */
  run(job: Job, stage: number, tile: number): void;
  /**
   * Whether the kernel has threads of its own, shared by the whole process, that take part in a job without a message to
   * them: so that it pays for shorter jobs than to share them between workers.
   */
  readonly hasHelpers?: boolean;
  /**
   * Computes all tiles of a job in this thread, or fewer where it is cancelled meanwhile. Up to so many helpers take part,
   * where they are free; none where not given. With `group`, the stages of that group alone.
   */
  runAll(job: Job, helpers?: number, group?: number): void;
}

export interface Plan {
  readonly stages: readonly Stage[];
  /**
   * Where the samples of a batch go through all stages some at a time, one group after the other: the first stage of each
   * group.
   */
  readonly groups?: readonly number[];
  /** Elements of each buffer that the kernel works in and writes to. */
  readonly buffers: Readonly<Record<string, BufferPlan>>;
}

export interface BufferPlan {
  readonly type: 'float32' | 'float64' | 'int32';
  readonly elements: number;
}

/** A step whose tiles are independent of each other and need all tiles of the steps before. */
export interface Stage {
  readonly name: string;
  readonly tiles: number;
  /**
   * Mean floating-point operations of a tile, or as many as take as long as what else it does, for cutting stages into
   * slices of about the same time.
   */
  readonly flopsPerTile: number;
}

/** One call with its plan and memory: all that a worker needs, on shared buffers. */
export interface Job {
  readonly call: AttentionCall;
  readonly plan: Plan;
  readonly memory: Memory;
  readonly status: JobStatus;
}

export type Memory = Readonly<Record<string, RealArray | Int32Array>>;
