import type { AttentionCall } from '../domain/call.ts';
import type { Kernel } from '../kernels/kernel.ts';
import { KERNELS, kernelFor, kernelNamed } from '../kernels/registry.ts';

/** Which kernel computes a call. */
export interface KernelChoice {
  /** Name of the one that is preferred to all others, if any. */
  readonly forced: string | null;
  /** The one that computes calls in float32, as most are. */
  readonly usual: Kernel;
  of(call: AttentionCall): Kernel;
}

/** The choice where a kernel of this name is preferred. Throws where there is none of the name. */
export function choiceOf(name: string | null): KernelChoice {
  const forced = name === null ? undefined : kernelNamed(name);
  const isUsual = ({ precision }: Kernel) => precision === 'float32';
  return {
    forced: name,
    usual: forced !== undefined && isUsual(forced) ? forced : KERNELS.find(isUsual)!,
    of: (call) => kernelFor(call, forced),
  };
}
