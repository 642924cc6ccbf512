import type { AttentionCall } from '../src/domain/call.ts';
import { withLinears } from '../src/domain/linears.ts';
import { helpersOf } from '../src/engine/work.ts';
import type { Job, Kernel, Memory } from '../src/kernels/kernel.ts';
import { allocate } from '../src/kernels/memory.ts';
import { createStatus } from '../src/kernels/status.ts';
import { type Contender, type Family, type Opened, timed } from './contender.ts';
import { Pool } from './pool.ts';

/**
 * Adds to `opened`: our kernel on one job, planned and allocated beforehand; the same with weights that an earlier job has packed; and on
 * one thread also from the call on, with a new plan and new memory every time.
 */
export async function openOurs(
  kernel: Kernel,
  call: AttentionCall,
  threads: number,
  opened: Opened[],
): Promise<void> {
  opened.push(await openJob('ours', kernel, call, threads));
  const packed = withPackedWeights(kernel, call);
  if (packed !== null) opened.push(await openJob('prepacked', kernel, packed, threads));
  if (threads === 1) opened.push(openFresh(kernel, call));
}

async function openJob(
  family: Family,
  kernel: Kernel,
  call: AttentionCall,
  threads: number,
): Promise<Opened> {
  const job = makeJob(kernel, call);
  const memory = () => job.memory;
  if (threads === 1 || kernel.hasHelpers) {
    const helpers = helpersOf(kernel, job.plan, threads - 1);
    return open(family, kernel, () => kernel.runAll(job, helpers), memory);
  }
  const pool = await Pool.start(threads, kernel, job);
  const close = () => pool.close();
  return open(family, kernel, () => pool.run(), memory, close);
}

function openFresh(kernel: Kernel, call: AttentionCall): Opened {
  let job: Job;
  const run = () => {
    job = makeJob(kernel, call);
    kernel.runAll(job);
  };
  return open('fresh', kernel, run, () => job.memory);
}

function open(
  family: Family,
  { name }: Kernel,
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

/**
 * The call with its weights packed, as those of a registered layer are, or with names, by which a kernel that cannot
 * share packed ones knows them; null where there is nothing to pack.
 */
function withPackedWeights(kernel: Kernel, call: AttentionCall): AttentionCall | null {
  if (call.operation !== 'multi_head_attention') return null;
  if (kernel.keepPacked === undefined) return withNames(call);
  const job = makeJob(kernel, call);
  kernel.runAll(job);
  return kernel.keepPacked(job);
}

let layers = 0;

function withNames(call: AttentionCall): AttentionCall {
  const layer = `layer ${layers++}`;
  return withLinears(call, (linear, name) => ({ ...linear, content: `${layer} ${name}` }));
}

function makeJob(kernel: Kernel, call: AttentionCall): Job {
  const plan = kernel.plan(call);
  return { call, plan, memory: allocate(plan), status: createStatus() };
}

function runStage(kernel: Kernel, job: Job, stage: number): void {
  const { tiles } = job.plan.stages[stage];
  for (let tile = 0; tile < tiles; tile++) kernel.run(job, stage, tile);
}

/** Best milliseconds of a step, of a job that packs its weights and of one that has them packed. */
export interface StageTime {
  readonly name: string;
  readonly ms: number;
  readonly prepackedMs: number | null;
}

/** Time of every step from the call on, on one thread. The first stage includes what a kernel does once for a job. */
export function stageTimes(kernel: Kernel, call: AttentionCall, rounds: number): StageTime[] {
  const packed = withPackedWeights(kernel, call);
  const all = bestTimes(kernel, call, rounds);
  const kept = packed === null ? null : bestTimes(kernel, packed, rounds);
  return [...all].map(([name, ms]) => ({ name, ms, prepackedMs: kept?.get(name) ?? null }));
}

function bestTimes(kernel: Kernel, call: AttentionCall, rounds: number): Map<string, number> {
  const best = new Map<string, number>();
  const note = (name: string, ms: number) => best.set(name, Math.min(ms, best.get(name) ?? ms));
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const plan = kernel.plan(call);
    const planned = performance.now();
    const job = { call, plan, memory: allocate(plan), status: createStatus() };
    note('plan', planned - start);
    note('allocate', performance.now() - planned);
    plan.stages.forEach(({ name }, stage) => {
      const ms = timed(1, () => runStage(kernel, job, stage));
      note(name, ms);
    });
  }
  return best;
}
