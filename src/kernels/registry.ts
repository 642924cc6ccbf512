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

/** The first kernel that computes the call; `forced`, where it does. */
export function kernelFor(call: AttentionCall, forced?: Kernel | undefined): Kernel {
  const candidates = forced === undefined ? KERNELS : [forced, ...KERNELS];
  return candidates.find(
    (kernel) => kernel.precision === call.precision && kernel.supports?.(call) !== false,
  )!;
}

export function kernelNamed(name: string): Kernel {
  const kernel = KERNELS.find((candidate) => candidate.name === name);
  if (kernel === undefined) throw new Error(`There is no kernel named ${name}.`);
  return kernel;
}
