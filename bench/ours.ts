import type { AttentionCall } from '../src/domain/call.ts';
import type { Job, Kernel, Memory } from '../src/kernels/kernel.ts';
import { allocate } from '../src/kernels/memory.ts';
import { createStatus } from '../src/kernels/status.ts';
import { type Contender, type Family, type Opened, timed } from './contender.ts';
import { endsWithoutWeights } from './packing.ts';
import { Pool } from './pool.ts';

/**
 * Our kernel on one job, planned and allocated beforehand: the whole of it, and without the packing of weights. On one
 * thread also from the call on, with a new plan and new memory every time.
 */
export async function openOurs(kernel: Kernel, call: AttentionCall, threads: number): Promise<Opened[]> {
  const job = makeJob(kernel, call);
  const pool = threads === 1 ? null : await Pool.start(threads, kernel, job);
  const run = pool === null ? (ends: readonly number[]) => runHere(kernel, job, ends) : pool.run.bind(pool);

  const all = job.plan.stages.map(({ tiles }) => tiles);
  const close = async () => pool?.close();
  const opened = [
    open(
      'ours',
      kernel.name,
      () => run(all),
      () => job.memory,
      close,
    ),
  ];
  const kept = endsWithoutWeights(kernel, call, job.plan);
  if (kept !== null) {
    run(all);
    opened.push(
      open(
        'prepacked',
        kernel.name,
        () => run(kept),
        () => job.memory,
      ),
    );
  }
  if (threads === 1) {
    let fresh = job;
    const runFresh = () => {
      fresh = makeJob(kernel, call);
      runHere(kernel, fresh, all);
    };
    opened.push(open('fresh', kernel.name, runFresh, () => fresh.memory));
  }
  return opened;
}

function open(
  family: Family,
  name: string,
  run: () => void,
  memory: () => Memory,
  close: Contender['close'] = () => {},
): Opened {
  const results = () => {
    run();
    return memory();
  };
  return { contender: { name, family, sample: (repeats) => timed(repeats, run), close }, results };
}

function makeJob(kernel: Kernel, call: AttentionCall): Job {
  const plan = kernel.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}

function runHere(kernel: Kernel, job: Job, ends: readonly number[]): void {
  for (let stage = 0; stage < ends.length; stage++)
    for (let tile = 0; tile < ends[stage]; tile++) kernel.run(job, stage, tile);
}

export interface StageTime {
  readonly name: string;
  readonly ms: number;
}

/** Best milliseconds of every step of a job on one thread; the parts of `pack` that pack tokens and weights apart.
 * The first stage includes what a kernel does once for a new job. */
export function stageTimes(kernel: Kernel, call: AttentionCall, rounds: number): StageTime[] {
  const best = new Map<string, number>();
  const note = (name: string, ms: number) => best.set(name, Math.min(ms, best.get(name) ?? ms));
  const kept = endsWithoutWeights(kernel, call, kernel.plan(call));
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const plan = kernel.plan(call);
    const planned = performance.now();
    const memory = allocate(plan);
    note('plan', planned - start);
    note('allocate', performance.now() - planned);
    const job = { call, plan, memory, status: createStatus() };
    plan.stages.forEach(({ name, tiles }, stage) => {
      const split = name === 'pack' && kept !== null ? kept[stage] : tiles;
      note(split === tiles ? name : `${name} tokens`, timedTiles(kernel, job, stage, 0, split));
      if (split < tiles) note(`${name} weights`, timedTiles(kernel, job, stage, split, tiles));
    });
  }
  return [...best].map(([name, ms]) => ({ name, ms }));
}

function timedTiles(kernel: Kernel, job: Job, stage: number, from: number, to: number): number {
  return timed(1, () => {
    for (let tile = from; tile < to; tile++) kernel.run(job, stage, tile);
  });
}
