import { median, minimum } from '../measure.ts';

/** A line of the table. */
export interface Row {
  readonly title: string;
  /** Milliseconds, one for each time. */
  readonly samples: readonly number[];
  /** What it comes to, and what it should come to. */
  readonly figure?: string;
  readonly asked?: string;
}

export function print(rows: readonly Row[]): void {
  console.log('\n| ms | minimum | median | that is | asked |\n|---|---|---|---|---|');
  for (const { title, samples, figure = '', asked = '' } of rows) {
    const times = [minimum(samples), median(samples)].map((ms) => ms.toFixed(ms < 10 ? 2 : 1));
    console.log(`| ${title} | ${times.join(' | ')} | ${figure} | ${asked} |`);
  }
}

/** How often the one goes into the other: at their minima, at their medians. */
export function ratios(samples: readonly number[], others: readonly number[]): string {
  const ratio = minimum(samples) / minimum(others);
  return `${ratio.toFixed(2)} times at the minimum, ${(median(samples) / median(others)).toFixed(2)} at the median`;
}

/** Milliseconds of a piece of work. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
