import type { Family } from './contender.ts';
import { besideOf, bestOf, type PeakOf, printTable, rateOf } from './report.ts';
import type { Row } from './row.ts';

/** A figure that rows of the table are to reach. */
interface Asked {
  readonly shape: string;
  readonly threads: readonly number[];
  readonly what: string;
  readonly bound: readonly ['>=' | '<=', number];
  /** The figure of a row; null where something that it takes has not been measured. */
  readonly of: (row: Row, rows: readonly Row[], peakOf: PeakOf) => number | null;
}

const BOTH = [1, 2] as const;

/** The times by which ours is faster than a family's best; GroupQueryAttention, which few would start with, left out. */
const timesFaster =
  (family: Family): Asked['of'] =>
  (row) => {
    const rivals = row.measurements.filter(
      ({ contender }) => !contender.name.startsWith('GroupQueryAttention'),
    );
    const [mine, theirs] = [ours(row), bestOf(rivals, family)];
    return mine && theirs && theirs.minimum / mine;
  };

const ofPeak: Asked['of'] = (row, _rows, peakOf) => {
  const [mine, peak] = [ours(row), peakOf(row)];
  return mine && peak && rateOf(row.shape, mine).rate / peak;
};

const ofReading: Asked['of'] = (row) => {
  const [mine, reading] = [ours(row), bestOf(row.measurements, 'reading')];
  return mine && reading && reading.minimum / mine;
};

/** Our rate, time or speed in parts of those of the shape that a row is beside. */
const ofBeside =
  (compare: 'rate' | 'time' | 'speed'): Asked['of'] =>
  (row, rows) => {
    const other = besideOf(row, rows);
    const [mine, its] = [ours(row), other && ours(other)];
    if (!mine || !other || !its) return null;
    if (compare === 'rate') return rateOf(row.shape, mine).rate / rateOf(other.shape, its).rate;
    return compare === 'time' ? mine / its : its / mine;
  };

/** Layers have their weights packed beforehand, as ONNX Runtime has. */
function ours({ measurements }: Row): number | null {
  const times = (['ours', 'prepacked'] as const).flatMap((family) => {
    const best = bestOf(measurements, family);
    return best === null ? [] : [best.minimum];
  });
  return times.length === 0 ? null : Math.min(...times);
}

function faster(shape: string, family: Family, ...ratios: readonly number[]): Asked[] {
  return ratios.map((ratio, at) => ({
    shape,
    threads: [at + 1],
    what: `times faster than ${family === 'onnxruntime' ? 'ONNX Runtime' : family}`,
    bound: ['>=', ratio],
    of: timesFaster(family),
  }));
}

/** The same of several shapes. */
function each(
  shapes: readonly string[],
  threads: readonly number[],
  what: string,
  bound: Asked['bound'],
  of: Asked['of'],
): Asked[] {
  return shapes.map((shape) => ({ shape, threads, what, bound, of }));
}

const RAGGED = ['ragged-127', 'ragged-513', 'ragged-2049'];
const IN_BFLOAT16 = ['base-bfloat16', 'long-bfloat16'];

const ASKED: readonly Asked[] = [
  ...faster('tiny', 'session.run()', 3),
  ...faster('tiny', 'onnxruntime', 3),
  ...faster('small', 'onnxruntime', 1.15, 1.2),
  ...faster('base', 'onnxruntime', 1.1, 1.15),
  ...faster('batch', 'onnxruntime', 1.1, 1.1),
  ...faster('long', 'onnxruntime', 1.2, 1.2),
  ...faster('core', 'onnxruntime', 1.2, 1.2),
  ...faster('core-causal', 'onnxruntime', 3.3, 3.3),
  ...faster('core-window', 'onnxruntime', 15, 15),
  ...each(['small', 'base', 'batch', 'long', 'core'], [1], 'of the FMA peak', ['>=', 0.85], ofPeak),
  ...each(['base-wasm'], [1], 'of the FMA peak of 128 bits', ['>=', 0.8], ofPeak),
  ...each(RAGGED, BOTH, 'of the rate of the round shape', ['>=', 0.9], ofBeside('rate')),
  ...each(['decode'], BOTH, 'of reading as much', ['>=', 0.85], ofReading),
  ...each(['base-weights'], BOTH, 'times the time of base', ['<=', 1.5], ofBeside('time')),
  ...each(IN_BFLOAT16, BOTH, 'times faster than float32', ['>=', 1.6], ofBeside('speed')),
  ...faster('core-gradients', 'torch', 1.5, 1.5),
];

/** What is asked of the rows that were measured, and what came of it; all by minima. */
export function printAsked(rows: readonly Row[], peakOf: PeakOf): void {
  const lines = ASKED.flatMap(({ shape, threads, what, bound: [is, value], of }) =>
    rows
      .filter((row) => row.shape.name === shape && threads.includes(row.threads))
      .map((row) => {
        const figure = of(row, rows, peakOf);
        const asked = [row.shape.name, String(row.threads), what, `${is} ${value}`];
        if (figure === null) return [...asked, 'not measured', ''];
        const isReached = is === '>=' ? figure >= value : figure <= value;
        return [...asked, figure.toFixed(2), isReached ? 'reached' : 'short'];
      }),
  );
  if (lines.length === 0) return;
  console.log('\nAsked (minima)');
  printTable([['shape', 'T', 'what', 'asked', 'is', ''], ...lines]);
}
