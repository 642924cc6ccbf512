import type { Timings } from '../engine/engine.ts';

/** The Server-Timing header (W3C Server Timing) of a request: milliseconds of each step. */
export function serverTiming({ decodeMs, queueMs, computeMs, encodeMs }: Timings): string {
  const steps = { decode: decodeMs, queue: queueMs, compute: computeMs, encode: encodeMs };
  return Object.entries(steps)
    .map(([name, ms]) => `${name};dur=${Math.round(ms * 1000) / 1000}`)
    .join(', ');
}
