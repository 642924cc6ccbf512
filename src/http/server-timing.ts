import type { Timings } from '../engine/engine.ts';

/** The Server-Timing header (W3C Server Timing) of a request: milliseconds of each step. */
export function serverTiming({ decodeMs, queueMs, computeMs, encodeMs }: Timings): string {
  return (
    `decode;dur=${rounded(decodeMs)}, queue;dur=${rounded(queueMs)}, ` +
    `compute;dur=${rounded(computeMs)}, encode;dur=${rounded(encodeMs)}`
  );
}

/** To microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
