import { allocate } from '../src/kernels/memory.ts';
import { reference } from '../src/kernels/reference/kernel.ts';
import { createStatus } from '../src/kernels/status.ts';
import { Pool } from './pool.ts';
import type { Shape } from './shapes.ts';
import { type Inputs, makeCall, resultNames } from './workload.ts';

/** Largest difference that the arithmetic explains, as a part of the largest result. */
export const TOLERANCE = { float32: 1e-5, bfloat16: 1e-2 } as const;

export type Results = Readonly<Record<string, ArrayLike<number>>>;

/** What the float64 reference computes for a shape, on two threads: some rows take it half a minute. */
export async function expectedResults(shape: Shape, inputs: Inputs): Promise<Results> {
  const call = makeCall(shape, inputs, 'float64');
  const plan = reference.plan(call);
  const job = { call, plan, memory: allocate(plan), status: createStatus() };
  const pool = await Pool.start(2, reference, job);
  try {
    pool.run();
  } finally {
    await pool.close();
  }
  return Object.fromEntries(resultNames(shape).map((name) => [name, job.memory[name]]));
}

/** Largest difference between results, as a part of the largest expected number of each; NaN where one is NaN. */
export function relativeError(expected: Results, actual: Results): number {
  let worst = 0;
  for (const [name, reference] of Object.entries(expected)) {
    const result = actual[name];
    if (result?.length !== reference.length) return Number.POSITIVE_INFINITY;
    let [difference, largest] = [0, 0];
    for (let at = 0; at < reference.length; at++) {
      difference = Math.max(difference, Math.abs(result[at] - reference[at]));
      largest = Math.max(largest, Math.abs(reference[at]));
    }
    worst = Math.max(worst, difference / largest);
  }
  return worst;
}
