import { setImmediate } from 'node:timers/promises';
import type { AttentionCall } from '../../src/domain/call.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/domain/limits.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Kernel, Memory } from '../../src/kernels/kernel.ts';
import { allocate } from '../../src/kernels/memory.ts';
import { createStatus } from '../../src/kernels/status.ts';
import { makeCall } from '../support/calls.ts';

/** Gives the test an engine whose workers are up, and waits for its end when all tickets are released. */
export async function withEngine(
  options: {
    readonly threads: number;
    readonly kernel?: string | undefined;
    readonly limits?: Partial<Limits>;
  },
  test: (engine: Engine) => Promise<void>,
): Promise<void> {
  const engine = new Engine({ ...options, limits: { ...DEFAULT_LIMITS, ...options.limits } });
  await engine.ready();
  await test(engine);
  await engine.close();
}

/** Waits, one turn of the event loop after the other, for what must come about. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate();
}

/** All tiles of all stages in order, in this thread. */
export function computeHere(kernel: Kernel, call: AttentionCall): Memory {
  const plan = kernel.plan(call);
  const job = { call, plan, memory: allocate(plan), status: createStatus() };
  for (const [stage, { tiles }] of plan.stages.entries()) {
    for (let tile = 0; tile < tiles; tile++) kernel.run(job, stage, tile);
  }
  return job.memory;
}

/** A call that keeps the float64 kernel busy for seconds, in hundreds of tiles. */
export function longCall(): AttentionCall {
  return makeCall({ precision: 'float64', batch: 2, heads: 8, queries: 1024, newKeys: 2048, headSize: 64 });
}

/** A call of some tens of milliseconds. */
export function mediumCall(seed = 1): AttentionCall {
  return makeCall({ seed, precision: 'float64', heads: 4, queries: 256, newKeys: 256, headSize: 32 });
}

export function smallCall(): AttentionCall {
  return makeCall({ precision: 'float64', queries: 3, headSize: 4 });
}
