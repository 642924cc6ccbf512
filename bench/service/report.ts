import { median } from '../measure.ts';
import { printTable } from '../report.ts';
import type { Load } from './generator.ts';
import { mostPerSecond } from './limit.ts';
import type { Loop } from './loop.ts';
import type { Contestant, Row } from './row.ts';
import { TITLES } from './services.ts';
import { LOOP_TARGETS, RATE_TARGETS, TINY_P99_MS } from './targets.ts';

const COLUMNS = [
  'shape',
  'format',
  'c',
  'who',
  'req/s median (best)',
  'p50 ms',
  'p99 ms',
  'max ms',
  'ours / it, medians',
  'best',
];

/** The last two columns: our requests per second divided by the line's. */
export function printRows(rows: readonly Row[]): void {
  if (rows.length === 0) return;
  console.log('');
  printTable([COLUMNS, ...rows.flatMap(linesOf)]);
  for (const { shape, format, concurrency, contestants } of rows)
    for (const { title, loads } of contestants) {
      const cpu = Math.max(...loads.map((load) => load.cpu));
      if (cpu > GENERATOR_BUSY)
        console.log(
          `${shape} ${format} c=${concurrency}, ${title}: the generator took ${cpu.toFixed(2)} processors`,
        );
    }
}

/** From here on the generator rather than the service may be what is measured. */
const GENERATOR_BUSY = 0.85;

function linesOf({ shape, format, concurrency, contestants }: Row): string[][] {
  const ours = bestOfOurs(contestants);
  return contestants.map((contestant) => {
    const { title, service, loads } = contestant;
    const figures = rates(contestant);
    const ratio = (which: 'median' | 'best') =>
      service === 'ours' || ours === null ? '' : significant(rates(ours)[which] / figures[which]);
    return [
      shape,
      format,
      String(concurrency),
      title,
      `${significant(figures.median)} (${significant(figures.best)})`,
      significant(median(valuesOf(loads, 'p50'))),
      significant(median(valuesOf(loads, 'p99'))),
      significant(Math.max(...valuesOf(loads, 'max'))),
      ratio('median'),
      ratio('best'),
    ];
  });
}

export function printLoops(loops: readonly Loop[]): void {
  if (loops.length === 0) return;
  console.log('\nBase as JSON at c=8: the event loop, and small requests alone -> meanwhile, ms');
  printTable([
    ['who', 'req/s', 'loop p50', 'p99', 'max', 'probe', 'p50', '', 'p99', ''],
    ...loops.flatMap(({ service, load, delay, probes }) =>
      probes.map(({ name, idle, loaded }, at) => [
        ...(at > 0
          ? ['', '', '', '', '']
          : [
              TITLES[service],
              significant(load.requestsPerSecond),
              ...[delay.p50, delay.p99, delay.max].map(significant),
            ]),
        name,
        `${significant(idle.p50)} -> ${significant(loaded.p50)}`,
        `x${significant(loaded.p50 / idle.p50)}`,
        `${significant(idle.p99)} -> ${significant(loaded.p99)}`,
        `x${significant(loaded.p99 / idle.p99)}`,
      ]),
    ),
  ]);
}

/** What is asked, and what came of it. `gflops` is what one processor can do, where that is known. */
export function printTargets(rows: readonly Row[], loops: readonly Loop[], gflops: number | null): void {
  const lines = [...rateLines(rows, gflops), ...tailLines(rows), ...loopLines(loops)];
  if (lines.length === 0) return;
  console.log('\nAsked (ratios of requests per second in the best rounds, and of medians)');
  printTable(lines);
}

function rateLines(rows: readonly Row[], gflops: number | null): string[][] {
  return RATE_TARGETS.flatMap(({ shape, format, concurrency, against, ratio }) => {
    const row = rows.find((candidate) => {
      return (
        candidate.shape === shape && candidate.format === format && candidate.concurrency === concurrency
      );
    });
    const ours = bestOfOurs(row?.contestants ?? []);
    const other = row?.contestants.find(({ service }) => service === against);
    if (row === undefined || ours === null) return [];
    const what = `${shape} ${format} c=${concurrency} / ${TITLES[against]}`;
    if (other === undefined) return [[what, `>= ${ratio}`, 'not measured', '']];
    const best = rates(ours).best / rates(other).best;
    const middle = rates(ours).median / rates(other).median;
    const most = mostPerSecond(row, gflops);
    const atMost = most === null ? '' : `here at most ${significant(most / rates(other).best)}`;
    const is = `${significant(best)} (${significant(middle)})`;
    return [[what, `>= ${ratio}`, is, verdict(best >= ratio), atMost]];
  });
}

function tailLines(rows: readonly Row[]): string[][] {
  const row = rows.find((candidate) => {
    return candidate.shape === 'tiny' && candidate.format === 'raw' && candidate.concurrency === 1;
  });
  return (row?.contestants ?? [])
    .filter(({ service }) => service === 'ours')
    .map(({ title, loads }) => {
      const p99 = median(valuesOf(loads, 'p99'));
      const what = `tiny raw c=1, ${title}: p99`;
      return [what, `< ${TINY_P99_MS} ms`, `${significant(p99)} ms`, verdict(p99 < TINY_P99_MS)];
    });
}

function loopLines(loops: readonly Loop[]): string[][] {
  return loops
    .filter(({ service }) => service === 'ours')
    .flatMap(({ delay, probes }) => [
      ...(['p99', 'max'] as const).map((name) => {
        const asked = LOOP_TARGETS[name];
        return [
          `event loop ${name}`,
          `<= ${asked} ms`,
          `${significant(delay[name])} ms`,
          verdict(delay[name] <= asked),
        ];
      }),
      ...probes.map(({ name, idle, loaded }) => {
        const ratio = loaded.p50 / idle.p50;
        const what = `probe ${name} p50 / idle`;
        return [what, `<= ${LOOP_TARGETS.probe}`, significant(ratio), verdict(ratio <= LOOP_TARGETS.probe)];
      }),
    ]);
}

/** The faster of our formats counts, as it would for someone who may choose. */
function bestOfOurs(contestants: readonly Contestant[]): Contestant | null {
  const ours = contestants.filter(({ service }) => service === 'ours');
  if (ours.length === 0) return null;
  return ours.reduce((best, other) => (rates(other).best > rates(best).best ? other : best));
}

function rates({ loads }: Contestant): { median: number; best: number } {
  const values = valuesOf(loads, 'requestsPerSecond');
  return { median: median(values), best: Math.max(...values) };
}

function valuesOf(loads: readonly Load[], key: keyof Load): number[] {
  return loads.map((load) => load[key]);
}

function verdict(reached: boolean): string {
  return reached ? 'reached' : 'short';
}

function significant(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}
