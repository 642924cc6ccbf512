import type { Kernel, Plan } from '../kernels/kernel.ts';
import type { ComputeItem } from './item.ts';
import { createProgress } from './shared-job.ts';
import { helpersOf, type Shares } from './work.ts';

/** What a worker is given of a job that is divided so, where it is the turn of the tiles [from, to) of a stage of its work. */
export function tilesOf(
  kernel: Kernel,
  plan: Plan,
  shares: Shares,
  idleThreads: () => number,
): (stage: number, from: number, to: number) => ComputeItem['tiles'] {
  const helpers = () => helpersOf(kernel, plan, idleThreads());
  if (shares === null) return (stage, from, to) => ({ stage, from, to });
  if (shares === 'groups') return (group) => ({ helpers: helpers(), group });
  if (shares === 1) return () => ({ helpers: helpers() });
  const progress = createProgress(plan.stages.length);
  return () => progress;
}
