import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender } from './contender.ts';

export interface Measurement {
  readonly contender: Contender;
  /** Milliseconds of one call, by round. */
  readonly samples: readonly number[];
}

export interface Rounds {
  readonly rounds: number;
  /** After this long, only those who have no sample yet are measured. */
  readonly seconds: number;
}

/** A sample of something short repeats it for this long. */
const SAMPLE_MS = 2;
/** Calls shorter than this are warmed up before the sample. */
const WARM_BELOW_MS = 20;
/**
 * A warm-up takes this long, so that what a call reads is as near to the processor as it comes: of 34 MB the third time
 * is the first that does not wait for memory.
 */
const WARM_MS = 10;
/** Calls longer than this need no warming up: their first run counts. */
const SLOW_MS = 1000;
/** Between two contenders, for the threads of the last one to stop spinning. */
const SETTLE_MS = 4;
/** From this round on, those far behind the best of their family take part no more. */
const PRUNE_AFTER = 3;
const FAR_BEHIND = 1.6;

/**
 * Samples all contenders in turn, forwards in one round and backwards in the next, so that what else happens on the
 * machine meets all of them.
 */
export async function measure(contenders: readonly Contender[], limit: Rounds): Promise<Measurement[]> {
  const runners: { contender: Contender; repeats: number; warmUp: number; samples: number[] }[] = [];
  for (const contender of contenders) {
    let ms = await contender.sample(1);
    if (ms < SLOW_MS) ms = await contender.sample(1);
    if (ms < WARM_BELOW_MS) ms = await contender.sample(timesIn(WARM_MS, ms));
    const warmUp = ms < WARM_BELOW_MS ? timesIn(WARM_MS, ms) : 0;
    runners.push({ contender, repeats: timesIn(SAMPLE_MS, ms), warmUp, samples: ms < SLOW_MS ? [] : [ms] });
  }
  const end = performance.now() + limit.seconds * 1000;
  let running = [...runners];
  for (let round = 0; round < limit.rounds; round++) {
    for (const { contender, repeats, warmUp, samples } of running) {
      if (samples.length > 0 && performance.now() > end) continue;
      await sleep(SETTLE_MS);
      if (warmUp > 0) await contender.sample(warmUp);
      samples.push(await contender.sample(repeats));
    }
    running.reverse();
    if (round === PRUNE_AFTER) {
      running = running.filter(({ contender, samples }) => {
        const rivals = runners.filter((runner) => runner.contender.family === contender.family);
        return minimum(samples) <= FAR_BEHIND * Math.min(...rivals.map((rival) => minimum(rival.samples)));
      });
    }
  }
  return runners.map(({ contender, samples }) => ({ contender, samples }));
}

/** How often something is repeated to take `ms` milliseconds. */
function timesIn(ms: number, once: number): number {
  return Math.max(1, Math.min(10_000, Math.ceil(ms / once)));
}

export function minimum(samples: readonly number[]): number {
  return Math.min(...samples);
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
