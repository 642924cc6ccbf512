import type { AttentionCall } from '../src/domain/call.ts';
import type { Kernel } from '../src/kernels/kernel.ts';
import { KERNELS } from '../src/kernels/registry.ts';

/** The kernels of this machine that are to be fast, the preferred one of each precision first. */
const CANDIDATES: readonly Kernel[] = KERNELS.filter(({ precision }) => precision !== 'float64');

/** The kernel asked for, or else the first one, that computes the call; null where it does not. */
export function candidateFor(call: AttentionCall, name: string | undefined): Kernel | null {
  const candidates = name === undefined ? CANDIDATES : [candidateNamed(name)];
  const computes = (kernel: Kernel) =>
    kernel.precision === call.precision && kernel.supports?.(call) !== false;
  return candidates.find(computes) ?? null;
}

/** Throws an error that names the kernels there are. */
export function candidateNamed(name: string): Kernel {
  const kernel = CANDIDATES.find((candidate) => candidate.name === name);
  if (kernel !== undefined) return kernel;
  const names = CANDIDATES.map((candidate) => candidate.name).join(', ');
  throw new Error(`There is no kernel ${name} to measure on this machine; there are ${names}.`);
}
