import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const CGROUP_CPU_MAX = '/sys/fs/cgroup/cpu.max';

/**
 * How many workers this process can keep busy: the processors it may run on, but no more than the CPU quota of its
 * container (which Node does not look at), and at least one.
 */
export function defaultThreads(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpuQuota())));
}

function cpuQuota(): number {
  try {
    return parseCpuMax(readFileSync(CGROUP_CPU_MAX, 'utf8'));
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Processors that a cgroup v2 `cpu.max` grants: `max 100000` is unbounded, `150000 100000` is 1.5. */
export function parseCpuMax(text: string): number {
  const [quota, period] = text.trim().split(/\s+/).map(Number);
  return quota > 0 && period > 0 ? quota / period : Number.POSITIVE_INFINITY;
}
