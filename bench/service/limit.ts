import { availableParallelism } from 'node:os';
import { PeakMeter } from '../peak.ts';
import { flops, SHAPES } from '../shapes.ts';
import type { Row } from './row.ts';

/** 10^9 float32 operations of multiply-adds that one processor does a second; null where there is no compiler to measure it with. */
export async function measureArithmetic(): Promise<number | null> {
  const meter = await PeakMeter.build();
  if (meter === null) return null;
  try {
    await meter.measure(1, 2 ** 20);
    return meter.arithmetic(1, 'gflops');
  } finally {
    await meter.close();
  }
}

/**
 * About the most requests a second that any service could answer here: one whose requests cost it no more than they cost
 * the bare echo, and whose arithmetic has all that is left of the processors, at the peak of each. So it tells whether a
 * figure can be reached on a machine at all. Null for JSON, which the echo reads and writes with what is built in, and for
 * one connection, where processors wait.
 */
export function mostPerSecond(row: Row, gflops: number | null): number | null {
  const { shape, format, concurrency, contestants } = row;
  const echo = contestants.find(({ service }) => service === 'echo');
  if (gflops === null || echo === undefined || format !== 'raw' || concurrency === 1) return null;
  const load = echo.loads.reduce((best, other) =>
    other.requestsPerSecond > best.requestsPerSecond ? other : best,
  );
  const echoSeconds = 1 / load.requestsPerSecond;
  const arithmetic = flops(SHAPES.find(({ name }) => name === shape)!) / (gflops * 1e9);
  // The generator takes its part of the processors beside the one that the echo keeps busy.
  const all = echoSeconds * (1 + load.cpu) + arithmetic;
  return 1 / Math.max(echoSeconds, all / availableParallelism());
}
