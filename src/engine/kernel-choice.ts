import type { AttentionCall } from '../domain/call.ts';
import type { Kernel } from '../kernels/kernel.ts';

/** Which kernel computes a call, and the name of the one that is preferred to all others, if any. */
export interface KernelChoice {
  readonly forced: string | null;
  of(call: AttentionCall): Kernel;
}
