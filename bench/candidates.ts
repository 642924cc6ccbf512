import type { AttentionCall } from '../src/domain/call.ts';
import type { Kernel } from '../src/kernels/kernel.ts';
import { KERNELS } from '../src/kernels/registry.ts';

/** The kernels of this machine that are to be fast, the preferred one of each precision first. */
const CANDIDATES: readonly Kernel[] = KERNELS.filter(({ precision }) => precision !== 'float64');

/** The kernel asked for, where it computes the call, or else the first one that does and suits it; null where none does. */
export function candidateFor(call: AttentionCall, name: string | undefined): Kernel | null {
  const computes = (kernel: Kernel) =>
    kernel.precision === call.precision && kernel.supports?.(call) !== false;
  if (name === undefined)
    return CANDIDATES.find((kernel) => computes(kernel) && kernel.suits?.(call) !== false) ?? null;
  const named = candidateNamed(name);
  return computes(named) ? named : null;
}

/** Throws an error that names the kernels there are. */
export function candidateNamed(name: string): Kernel {
  const kernel = CANDIDATES.find((candidate) => candidate.name === name);
  if (kernel !== undefined) return kernel;
  const names = CANDIDATES.map((candidate) => candidate.name).join(', ');
  throw new Error(`There is no kernel ${name} to measure on this machine; there are ${names}.`);
}
