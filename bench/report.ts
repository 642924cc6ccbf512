import { cpus } from 'node:os';
import type { Family } from './contender.ts';
import { type Measurement, median, minimum } from './measure.ts';
import type { StageTime } from './ours.ts';
import type { Row } from './row.ts';
import { flops, type Shape, streamedBytes } from './shapes.ts';

/**
 * The float32 FMA rate of the machine with as many threads as a row has, in 10^9 operations a second; on vectors of 128
 * bits for WebAssembly.
 */
export type PeakOf = (row: Row) => number | null;

export function machine(): string {
  const processors = cpus();
  return `${processors.length} x ${processors[0].model}, Node ${process.versions.node}, ${process.arch}`;
}

/** Times of the best of a family, and which it was. */
export interface Best {
  readonly name: string;
  readonly median: number;
  readonly minimum: number;
}

/** The lowest median and the lowest minimum of a family, which two of its members may hold. */
export function bestOf(measurements: readonly Measurement[], family: Family): Best | null {
  const times = measurements
    .filter(({ contender }) => contender.family === family)
    .map(({ contender, samples }) => ({
      name: contender.name,
      median: median(samples),
      minimum: minimum(samples),
    }));
  if (times.length === 0) return null;
  const fastest = times.reduce((best, time) => (time.minimum < best.minimum ? time : best));
  return { ...fastest, median: Math.min(...times.map((time) => time.median)) };
}

const COLUMNS = [
  'shape',
  'T',
  'who',
  'ms median (min)',
  'ORT best (min)',
  'ORT graph',
  'medians',
  'minima',
  'rate at min',
  'of peak',
];

/** Prints the table; a ratio above 1 says how many times faster than ONNX Runtime's best the row's contender is. */
export function printRows(rows: readonly Row[], peakOf: PeakOf): void {
  const lines = rows.flatMap((row) => linesOf(row, peakOf(row)));
  printTable([COLUMNS, ...lines]);
  for (const row of rows) printBeside(row, rows);
  for (const row of rows) printWithoutGrouped(row);
  for (const row of rows) printAgainstPackage(row);
}

const FAMILIES = ['ours', 'prepacked', 'fresh', 'engine', 'torch', 'numpy'] as const;
/** Those whose calls bring the weights of a layer along: like is held against like. */
const BRING_WEIGHTS: ReadonlySet<Family> = new Set(['ours', 'fresh', 'engine']);

function linesOf(row: Row, gflops: number | null): string[][] {
  const { shape, threads, measurements } = row;
  const ofModel = bestOf(measurements, 'onnxruntime');
  const ofGiven = bestOf(measurements, 'onnxruntime, weights given');
  const reading = bestOf(measurements, 'reading');
  const limit = streamedBytes(shape) === null ? gflops : reading && rateOf(shape, reading.minimum).rate;
  return FAMILIES.flatMap((family) => {
    const best = bestOf(measurements, family);
    if (best === null) return [];
    const { rate, unit } = rateOf(shape, best.minimum);
    const ort = (BRING_WEIGHTS.has(family) && ofGiven) || ofModel;
    return [
      [
        shape.name,
        String(threads),
        family === 'prepacked' || family === 'fresh' ? `${best.name}, ${family}` : best.name,
        times(best),
        ort === null ? '' : times(ort),
        ort?.name ?? '',
        ort === null ? '' : (ort.median / best.median).toFixed(2),
        ort === null ? '' : (ort.minimum / best.minimum).toFixed(2),
        `${rate.toFixed(1)} ${unit}`,
        limit === null ? '' : `${((100 * rate) / limit).toFixed(0)} %`,
      ],
    ];
  });
}

export function rateOf(shape: Shape, ms: number): { rate: number; unit: string } {
  const bytes = streamedBytes(shape);
  return bytes === null
    ? { rate: flops(shape) / ms / 1e6, unit: 'GFLOP/s' }
    : { rate: bytes / ms / 1e6, unit: 'GB/s' };
}

/** The row of the shape that a row's is to be compared with, with as many threads. */
export function besideOf({ shape, threads }: Row, rows: readonly Row[]): Row | undefined {
  return rows.find((other) => other.shape.name === shape.beside?.shape && other.threads === threads);
}

/** A shape beside the one it is to be compared with: best time or best rate of our own kernel. */
function printBeside(row: Row, rows: readonly Row[]): void {
  const { shape, threads } = row;
  if (shape.beside === null) return;
  const { shape: name, by } = shape.beside;
  const other = besideOf(row, rows);
  const [mine, its] = [row, other].map((side) => side && bestOf(side.measurements, 'ours'));
  if (!other || !mine || !its) return;
  const ratio =
    by === 'time'
      ? `${(mine.minimum / its.minimum).toFixed(2)} times the time`
      : `${((100 * rateOf(shape, mine.minimum).rate) / rateOf(other.shape, its.minimum).rate).toFixed(0)} % of the rate`;
  console.log(`${shape.name}, ${threads} thread${threads === 1 ? '' : 's'}: ${ratio} of ${name} (minima)`);
}

/** What GroupQueryAttention is told of causality and windows it skips; the graphs that an engineer starts with do not. */
function printWithoutGrouped({ shape, threads, measurements }: Row): void {
  const others = measurements.filter(({ contender }) => !contender.name.startsWith('GroupQueryAttention'));
  const [mine, ort] = [bestOf(others, 'ours'), bestOf(others, 'onnxruntime')];
  if (others.length === measurements.length || mine === null || ort === null) return;
  const ratios = `${(ort.median / mine.median).toFixed(2)} (medians), ${(ort.minimum / mine.minimum).toFixed(2)} (minima)`;
  console.log(
    `${shape.name}, ${threads} thread${threads === 1 ? '' : 's'}, against ORT without GroupQueryAttention: ${ratios}, ${ort.name}`,
  );
}

/** Against what a program that uses ONNX Runtime's package has, where its promise takes a part of the time. */
function printAgainstPackage({ shape, threads, measurements }: Row): void {
  const ort = bestOf(measurements, 'session.run()');
  for (const family of ['ours', 'prepacked'] as const) {
    const mine = bestOf(measurements, family);
    if (ort === null || mine === null) continue;
    const ratios = `${(ort.median / mine.median).toFixed(2)} (medians), ${(ort.minimum / mine.minimum).toFixed(2)} (minima)`;
    console.log(
      `${shape.name}, ${threads} thread${threads === 1 ? '' : 's'}, ${family}, against session.run() with ${times(ort)}: ${ratios}, ${ort.name}`,
    );
  }
}

export function printStages(name: string, stages: readonly StageTime[]): void {
  console.log(`\n${name}, stages on one thread, best of all rounds`);
  const lines = stages.map((stage) => [
    stage.name,
    milliseconds(stage.ms),
    stage.prepackedMs === null ? '' : milliseconds(stage.prepackedMs),
  ]);
  printTable([['stage', 'ms', 'ms prepacked'], ...lines]);
}

/** Everything that was measured, in a form to compute with. Milliseconds and 10^9 a second. */
export function toJson(
  rows: readonly Row[],
  peakOf: PeakOf,
  stages: readonly (readonly [string, readonly StageTime[]])[],
): string {
  const plain = rows.map((row) => ({
    shape: row.shape,
    threads: row.threads,
    flops: flops(row.shape),
    streamedBytes: streamedBytes(row.shape),
    peakGflops: peakOf(row),
    measurements: row.measurements.map(({ contender: { name, family }, samples }) => ({
      name,
      family,
      samples,
    })),
  }));
  return `${JSON.stringify({ machine: machine(), rows: plain, stages: Object.fromEntries(stages) }, null, 2)}\n`;
}

function times(best: Best): string {
  return `${milliseconds(best.median)} (${milliseconds(best.minimum)})`;
}

function milliseconds(ms: number): string {
  return ms.toPrecision(3);
}

export function printTable(lines: readonly (readonly string[])[]): void {
  const columns = Math.max(...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    );
}
