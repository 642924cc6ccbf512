import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Processor time that makes a process the busy one, in clock ticks of 10 ms. */
const BUSY_TICKS = 30;

/** Waits until one of the processes has done some hundred milliseconds of work; it comes first, then the others. */
export async function busiest<Process extends { readonly pid: number }>(
  processes: readonly Process[],
): Promise<Process[]> {
  const begun = processes.map(({ pid }) => processorTicks(pid));
  for (const end = Date.now() + 20_000; Date.now() < end; await delay(10)) {
    const busy = processes.find(({ pid }, i) => processorTicks(pid) - begun[i] >= BUSY_TICKS);
    if (busy !== undefined) return [busy, ...processes.filter((process) => process !== busy)];
  }
  throw new Error('no process became busy within 20 s');
}

/** User and system time of all threads, from /proc/<pid>/stat. */
function processorTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
