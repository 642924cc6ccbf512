import type { AttentionCall } from '../src/domain/call.ts';
import type { Kernel } from '../src/kernels/kernel.ts';
import { KERNELS } from '../src/kernels/registry.ts';

/** The float32 kernels of this machine, the preferred one first. */
const CANDIDATES: readonly Kernel[] = KERNELS.filter(({ precision }) => precision === 'float32');

/** The kernel asked for, or else the first one, that computes the call; null where it does not. */
export function candidateFor(call: AttentionCall, name: string | undefined): Kernel | null {
  const candidates = name === undefined ? CANDIDATES : [candidateNamed(name)];
  return candidates.find((kernel) => kernel.supports?.(call) !== false) ?? null;
}

/** Throws an error that names the kernels there are. */
export function candidateNamed(name: string): Kernel {
  const kernel = CANDIDATES.find((candidate) => candidate.name === name);
  if (kernel !== undefined) return kernel;
  const names = CANDIDATES.map((candidate) => candidate.name).join(', ');
  throw new Error(`There is no float32 kernel ${name} on this machine; there are ${names}.`);
}
