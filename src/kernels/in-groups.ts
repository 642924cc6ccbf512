import { availableParallelism } from 'node:os';
import type { AttentionCall } from '../domain/call.ts';
import { samplesOf } from '../domain/samples.ts';
import type { BufferPlan, Job, Kernel, Memory, Plan, Stage } from './kernel.ts';
import { isCancelled } from './status.ts';

/** Workspace that stays in the second-level caches of all processors, which share a group. */
const CACHE_BYTES = availableParallelism() * 2 * 2 ** 20;

/** How large groups are. */
export interface Grouping {
  /** Queries of a group, so that it is worth what a kernel does once for each: to read the weights, or to pack them. */
  readonly rows: number;
  /** Workspace that a batch may have without being cut. */
  readonly cacheBytes?: number;
}

/** Some samples of a call, with the stages that they go through. */
interface Group {
  readonly from: number;
  readonly to: number;
  readonly plan: Plan;
  /** Their first stage among those of the call. */
  readonly firstStage: number;
}

/**
 * The kernel, but for batches whose workspace is larger than the caches: it takes their samples through all stages some
 * at a time, in the same workspace. So what one stage leaves is still in the caches when the next one reads it, and a
 * batch takes no more workspace than a few samples. Results are the same to the bit, since a kernel computes a sample as
 * if it were alone. A kernel that can keep packed weights packs them with the first group, and all read them.
 */
export function inGroups(kernel: Kernel, { rows, cacheBytes = CACHE_BYTES }: Grouping): Kernel {
  /** The groups of a call; null where there is but one. */
  const known = new WeakMap<AttentionCall, readonly Group[] | null>();
  const parts = new WeakMap<Job, Job[]>();

  function groupsOf(call: AttentionCall): readonly Group[] | null {
    if (call.sizes.batch === 1) return null;
    let groups = known.get(call);
    if (groups === undefined) {
      const most = mostSamples(call, kernel.plan(call));
      groups = most < call.sizes.batch ? cut(call, most) : null;
      known.set(call, groups);
    }
    return groups;
  }

  function mostSamples({ sizes: { batch, queries } }: AttentionCall, { buffers }: Plan): number {
    const bytes = Object.entries(buffers)
      .filter(([name]) => !isResult(name) && !isWeight(name))
      .reduce((sum, [, { type, elements }]) => sum + elements * (type === 'float64' ? 8 : 4), 0);
    if (bytes <= cacheBytes) return batch;
    return Math.max(1, Math.floor((cacheBytes * batch) / bytes), Math.ceil(rows / queries));
  }

  /** As few groups of up to so many samples as there can be, of about the same size; not smaller ones before larger. */
  function cut(call: AttentionCall, most: number): Group[] {
    const { batch } = call.sizes;
    const count = Math.ceil(batch / most);
    const groups: Group[] = [];
    let firstStage = 0;
    for (let index = 0, from = 0; index < count; index++) {
      const to = from + Math.ceil((batch - from) / (count - index));
      const before = groups.at(-1);
      // Those that follow the first find the weights packed.
      const isLike = groups.length > 1 && before!.to - before!.from === to - from;
      const plan = isLike ? before!.plan : kernel.plan(partOf(call, from, to, groups[0]?.plan.buffers));
      groups.push({ from, to, plan, firstStage });
      firstStage += plan.stages.length;
      from = to;
    }
    return groups;
  }

  /** Samples of a call with the weights that the first of them have packed: where they are, or will be. */
  function partOf(
    call: AttentionCall,
    from: number,
    to: number,
    packed: Memory | Plan['buffers'] = {},
  ): AttentionCall {
    const part = samplesOf(call, from, to);
    return from === 0 || kernel.keepPacked === undefined
      ? part
      : kernel.keepPacked({ call: part, memory: packed as Memory });
  }

  function jobOf(job: Job, groups: readonly Group[], index: number): Job {
    let jobs = parts.get(job);
    if (jobs === undefined) {
      jobs = [];
      parts.set(job, jobs);
    }
    jobs[index] ??= makeJob(job, groups[index]);
    return jobs[index];
  }

  function makeJob({ call, memory, status }: Job, { from, to, plan }: Group): Job {
    const entries = Object.entries(plan.buffers).map(([name, { elements }]) => {
      const ofSample = memory[name].length / call.sizes.batch;
      const first = isResult(name) ? from * ofSample : 0;
      return [name, memory[name].subarray(first, first + elements)];
    });
    const part = partOf(call, from, to, memory);
    return { call: part, plan, memory: Object.fromEntries(entries), status };
  }

  return {
    ...kernel,

    plan(call) {
      const groups = groupsOf(call);
      return groups === null ? kernel.plan(call) : planOf(groups, call.sizes.batch);
    },

    run(job, stage, tile) {
      if (job.plan.groups === undefined) return kernel.run(job, stage, tile);
      const groups = groupsOf(job.call)!;
      const index = groups.findLastIndex(({ firstStage }) => firstStage <= stage);
      kernel.run(jobOf(job, groups, index), stage - groups[index].firstStage, tile);
    },

    runAll(job, helpers, group) {
      if (job.plan.groups === undefined) return kernel.runAll(job, helpers);
      const groups = groupsOf(job.call)!;
      if (group !== undefined) return kernel.runAll(jobOf(job, groups, group), helpers);
      for (let index = 0; index < groups.length && !isCancelled(job.status); index++)
        kernel.runAll(jobOf(job, groups, index), helpers);
    },
  };
}

/** Whether a buffer has something of every sample, in their order: what is returned, and the softmax statistics. */
function isResult(name: string): boolean {
  return /^(output$|weights($|\.)|logits$|log_sum_exp$|present_|grad_|row_)/.test(name);
}

/** Whether a buffer has something that all samples read. */
function isWeight(name: string): boolean {
  return name.startsWith('packed.');
}

/** All stages, and the results of all samples with the workspace of the largest group. */
function planOf(groups: readonly Group[], batch: number): Plan {
  const buffers: Record<string, BufferPlan> = {};
  const stages: Stage[] = [];
  for (const { from, to, plan } of groups) {
    stages.push(...plan.stages);
    for (const [name, buffer] of Object.entries(plan.buffers)) {
      const elements = isResult(name) ? (buffer.elements / (to - from)) * batch : buffer.elements;
      buffers[name] = { ...buffer, elements: Math.max(elements, buffers[name]?.elements ?? 0) };
    }
  }
  return { stages, groups: groups.map(({ firstStage }) => firstStage), buffers };
}
