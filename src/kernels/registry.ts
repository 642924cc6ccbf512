import type { AttentionCall } from '../domain/call.ts';
import type { Kernel } from './kernel.ts';
import { nativeKernels } from './native/kernel.ts';
import { portable, portableBfloat16 } from './portable/kernel.ts';
import { reference } from './reference/kernel.ts';
import { wasmKernels } from './wasm/kernel.ts';

/** Every kernel, the preferred one of each precision first. A new kernel joins by one line. */
export const KERNELS: readonly Kernel[] = [
  ...nativeKernels,
  ...wasmKernels,
  portable,
  portableBfloat16,
  reference,
];

/** The first kernel that computes the call and suits it; `forced`, where it computes it. */
export function kernelFor(call: AttentionCall, forced?: Kernel | undefined): Kernel {
  const computes = (kernel: Kernel) =>
    kernel.precision === call.precision && kernel.supports?.(call) !== false;
  if (forced !== undefined && computes(forced)) return forced;
  return KERNELS.find((kernel) => computes(kernel) && kernel.suits?.(call) !== false)!;
}

export function kernelNamed(name: string): Kernel {
  const kernel = KERNELS.find((candidate) => candidate.name === name);
  if (kernel === undefined) throw new Error(`There is no kernel named ${name}.`);
  return kernel;
}
