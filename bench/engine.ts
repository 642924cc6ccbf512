import type { AttentionCall } from '../src/domain/call.ts';
import { Engine } from '../src/engine/engine.ts';
import type { Kernel, Memory } from '../src/kernels/kernel.ts';
import type { Opened } from './contender.ts';
import { BENCH_LIMITS } from './workload.ts';

/** Our engine, with everything that a request costs there besides reading and writing it. */
export async function openEngine(kernel: Kernel, call: AttentionCall, threads: number): Promise<Opened> {
  const engine = new Engine({ threads, limits: BENCH_LIMITS, kernel: kernel.name });
  try {
    await engine.ready();
  } catch (error) {
    await engine.close();
    throw error;
  }
  const compute = async (): Promise<Memory> => {
    const ticket = engine.admit(0);
    try {
      return (await ticket.compute(call)).memory;
    } finally {
      ticket.release();
    }
  };
  const sample = async (repeats: number) => {
    const start = performance.now();
    for (let count = 0; count < repeats; count++) await compute();
    return (performance.now() - start) / repeats;
  };
  return {
    contender: { name: `engine, ${kernel.name}`, family: 'engine', sample, close: () => engine.close() },
    results: compute,
  };
}
