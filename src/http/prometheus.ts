import { createRequire } from 'node:module';
import type * as Prometheus from 'prom-client';

/*
 * The parts of prom-client that the service uses, by themselves: its index loads ten times as many modules, for the
 * metrics of processes, which every start would wait for.
 */

const load = createRequire(import.meta.url);

export const Counter: typeof Prometheus.Counter = load('prom-client/lib/counter');
export const Gauge: typeof Prometheus.Gauge = load('prom-client/lib/gauge');
export const Histogram: typeof Prometheus.Histogram = load('prom-client/lib/histogram');
export const Registry: typeof Prometheus.Registry = load('prom-client/lib/registry');
