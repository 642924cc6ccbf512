import type { AttentionCall } from '../src/domain/call.ts';
import type { Kernel } from '../src/kernels/kernel.ts';
import { KERNELS, kernelFor } from '../src/kernels/registry.ts';

/** The kernels of this machine that are to be fast, the preferred one of each precision first. */
const CANDIDATES: readonly Kernel[] = KERNELS.filter(({ precision }) => precision !== 'float64');

/** The kernel that the service computes a call with, or the one asked for; null where that one does not compute it. */
export function candidateFor(call: AttentionCall, name: string | undefined): Kernel | null {
  const named = name === undefined ? undefined : candidateNamed(name);
  const kernel = kernelFor(call, named);
  return named === undefined || kernel === named ? kernel : null;
}

/** Throws an error that names the kernels there are. */
export function candidateNamed(name: string): Kernel {
  const kernel = CANDIDATES.find((candidate) => candidate.name === name);
  if (kernel !== undefined) return kernel;
  const names = CANDIDATES.map((candidate) => candidate.name).join(', ');
  throw new Error(`There is no kernel ${name} to measure on this machine; there are ${names}.`);
}
