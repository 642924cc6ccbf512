import type { Format } from './exchange.ts';
import type { ServiceName } from './services.ts';
import type { ShapeName } from './workload.ts';

/** What our requests per second are to be, as a multiple of another's in the same run. */
export interface RateTarget {
  readonly shape: ShapeName;
  readonly format: Format;
  readonly concurrency: number;
  readonly against: Exclude<ServiceName, 'ours'>;
  readonly ratio: number;
}

function rates(
  shape: ShapeName,
  format: Format,
  concurrency: number,
  ratios: Partial<Record<RateTarget['against'], number>>,
): RateTarget[] {
  return Object.entries(ratios).map(([against, ratio]) => {
    return { shape, format, concurrency, against: against as RateTarget['against'], ratio };
  });
}

/** Base raw has no part of the echo as its target: arithmetic bounds it. */
export const RATE_TARGETS: readonly RateTarget[] = [
  ...rates('tiny', 'raw', 8, { ort: 1.8, fastapi: 3, echo: 0.75 }),
  ...rates('small', 'raw', 8, { ort: 1.9, fastapi: 2, echo: 0.65 }),
  ...rates('base', 'raw', 1, { ort: 1.1, fastapi: 2 }),
  ...rates('base', 'raw', 8, { ort: 1.3, fastapi: 2 }),
  ...rates('tiny', 'json', 8, { ort: 2, fastapi: 20, echo: 1 }),
  ...rates('small', 'json', 8, { ort: 8, fastapi: 35, echo: 5 }),
  ...rates('base', 'json', 8, { ort: 5, fastapi: 50, echo: 4 }),
];

/** Milliseconds that 99 of 100 raw tiny requests on one connection take at most. */
export const TINY_P99_MS = 1;

/** While large bodies flow: milliseconds of the event loop, and what a small request takes of its idle time. */
export const LOOP_TARGETS = { p99: 20, max: 50, probe: 2 } as const;
