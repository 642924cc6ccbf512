import type { Precision } from '../domain/tensor.ts';
import type { Kernel } from './kernel.ts';
import { portable } from './portable/kernel.ts';
import { reference } from './reference/kernel.ts';

/** Every kernel, the preferred one of each precision first. A new kernel joins by one line. */
export const KERNELS: readonly Kernel[] = [portable, reference];

export function kernelFor(precision: Precision): Kernel {
  return KERNELS.find((kernel) => kernel.precision === precision)!;
}

export function kernelNamed(name: string): Kernel {
  const kernel = KERNELS.find((candidate) => candidate.name === name);
  if (kernel === undefined) throw new Error(`There is no kernel named ${name}.`);
  return kernel;
}
