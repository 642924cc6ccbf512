import type { Family } from './contender.ts';
import { bestOf, type PeakOf, printTable, rateOf } from './report.ts';
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
  ({ measurements }) => {
    const others = measurements.filter(({ contender }) => !contender.name.startsWith('GroupQueryAttention'));
    const [mine, theirs] = [ours({ measurements: others }), bestOf(others, family)];
    return mine && theirs && theirs.minimum / mine;
  };

const ofPeak: Asked['of'] = (row, _rows, peakOf) => {
  const [mine, peak] = [ours(row), peakOf(row)];
  return mine && peak && rateOf(row.shape, mine).rate / peak;
};

const ofReading: Asked['of'] = ({ measurements }) => {
  const [mine, reading] = [ours({ measurements }), bestOf(measurements, 'reading')];
  return mine && reading && reading.minimum / mine;
};

/** The rate of the shape that a row is beside, or its time; see Shape.beside. */
const ofBeside =
  (compare: 'rate' | 'time' | 'speed'): Asked['of'] =>
  (row, rows) => {
    const { beside } = row.shape;
    const other = rows.find(({ shape, threads }) => shape.name === beside?.shape && threads === row.threads);
    const [mine, its] = [ours(row), other && ours(other)];
    if (!mine || !other || !its) return null;
    if (compare === 'rate') return rateOf(row.shape, mine).rate / rateOf(other.shape, its).rate;
    return compare === 'time' ? mine / its : its / mine;
  };

/** Layers have their weights packed beforehand, as ONNX Runtime has. */
function ours({ measurements }: Pick<Row, 'measurements'>): number | null {
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
  ...['small', 'base', 'batch', 'long', 'core'].map(
    (shape): Asked => ({ shape, threads: [1], what: 'of the FMA peak', bound: ['>=', 0.85], of: ofPeak }),
  ),
  ...['ragged-127', 'ragged-513', 'ragged-2049'].map(
    (shape): Asked => ({
      shape,
      threads: BOTH,
      what: 'of the rate of the round shape',
      bound: ['>=', 0.9],
      of: ofBeside('rate'),
    }),
  ),
  { shape: 'decode', threads: BOTH, what: 'of reading as much', bound: ['>=', 0.85], of: ofReading },
  {
    shape: 'base-weights',
    threads: BOTH,
    what: 'times the time of base',
    bound: ['<=', 1.5],
    of: ofBeside('time'),
  },
  ...['base-bfloat16', 'long-bfloat16'].map(
    (shape): Asked => ({
      shape,
      threads: BOTH,
      what: 'times faster than float32',
      bound: ['>=', 1.6],
      of: ofBeside('speed'),
    }),
  ),
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
