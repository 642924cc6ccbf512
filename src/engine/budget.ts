import type { Limits } from '../domain/limits.ts';
import { problemAt } from '../domain/problem.ts';
import type { Plan } from '../kernels/kernel.ts';
import { planBytes } from '../kernels/memory.ts';

/** Floating-point operations of a plan. */
export function planFlops(plan: Plan): number {
  return plan.stages.reduce((sum, { tiles, flopsPerTile }) => sum + tiles * flopsPerTile, 0);
}

/** What a group of samples takes of a plan. */
export function groupOf({ stages, groups = [0], buffers }: Plan, group: number): Plan {
  return { stages: stages.slice(groups[group], groups[group + 1]), buffers };
}

/** Floating-point operations of each group of samples; of all of them where there are no groups. */
export function groupFlops(plan: Plan): number[] {
  const { groups = [0] } = plan;
  return groups.map((_first, group) => planFlops(groupOf(plan, group)));
}

/** Throws a Problem, `over_budget`, where the plan needs more arithmetic or memory than one request may use. */
export function checkBudget(plan: Plan, limits: Limits): void {
  const flops = planFlops(plan);
  if (!(flops <= limits.requestFlops)) {
    const [needed, allowed] = scientific(flops, limits.requestFlops);
    const detail = `The call needs ${needed} floating-point operations; one request may use ${allowed}.`;
    throw problemAt('over_budget', '', detail);
  }
  const bytes = planBytes(plan);
  // What exceeds the memory of all requests together would be refused for ever, so it is no matter of capacity.
  const allowed = Math.min(limits.requestBytes, limits.queueBytes);
  if (!(bytes <= allowed)) {
    const detail = `The call needs ${bytes} bytes for its results and workspace; one request may use ${allowed}.`;
    throw problemAt('over_budget', '', detail);
  }
}

/** Different numbers with as many digits as tell them apart. */
function scientific(...values: readonly [number, number]): string[] {
  for (let digits = 1; ; digits++) {
    const texts = values.map((value) => value.toExponential(digits).replace('e+', 'e'));
    if (texts[0] !== texts[1] || digits === 16) return texts;
  }
}
