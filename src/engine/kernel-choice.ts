import type { AttentionCall } from '../domain/call.ts';
import type { Kernel } from '../kernels/kernel.ts';

/** Which kernel computes a call. */
export interface KernelChoice {
  /** Name of the one that is preferred to all others, if any. */
  readonly forced: string | null;
  /** The one that computes calls in float32. */
  readonly usual: Kernel;
  of(call: AttentionCall): Kernel;
}
