import type { RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import type * as Prometheus from 'prom-client';
import { Histogram, Registry } from '../prometheus.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** What is counted in this instance of the service. */
    readonly metrics: Prometheus.Registry;
    /** Counts a request that was refused outside of all routes; of one that could not be read there is no method. */
    readonly countUnrouted: (method: string | undefined, status: number) => void;
  }
}

/** Upper bounds in seconds: from calls of microseconds to the longest deadline. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The label of what a request does not have: a route, where its address is not there or its head is refused; a method. */
const NONE = 'none';

type Observe = (seconds: number) => void;

/**
 * Counts requests and their durations, by method, route and status, when their response is out. Each route has a hook of
 * its own, which holds the series that it has counted in before: a request makes no labels.
 */
export const requestMetrics = fp(async (app) => {
  const registry = new Registry();
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Seconds from the head of a request to the end of its response.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: BUCKETS,
    registers: [registry],
  });
  app.decorate('metrics', registry);

  const counting = (method: string, route: string) => {
    const series = new Map<number, Observe>();
    return (statusCode: number, elapsedMs: number) => {
      let observe = series.get(statusCode);
      if (observe === undefined) {
        ({ observe } = durations.labels(method, route, String(statusCode)));
        series.set(statusCode, observe);
      }
      observe(elapsedMs / 1000);
    };
  };

  app.addHook('onRoute', (route) => {
    const methods = new Map([route.method].flat().map((method) => [method, counting(method, route.url)]));
    addHook(route, (request, reply, done) => {
      methods.get(request.method)?.(reply.statusCode, reply.elapsedTime);
      done();
    });
  });

  const unrouted = new Map<string, ReturnType<typeof counting>>();
  const countUnrouted = (method: string, statusCode: number, elapsedMs: number) => {
    const count = unrouted.get(method) ?? counting(method, NONE);
    unrouted.set(method, count);
    count(statusCode, elapsedMs);
  };
  app.decorate('countUnrouted', (method = NONE, statusCode) => countUnrouted(method, statusCode, 0));
  app.addHook('onResponse', (request, reply, done) => {
    if (request.is404) countUnrouted(request.method, reply.statusCode, reply.elapsedTime);
    done();
  });
});

type Hook = Extract<RouteOptions['onResponse'], (...rest: never[]) => unknown>;

function addHook(route: RouteOptions, hook: Hook): void {
  route.onResponse = [...[route.onResponse ?? []].flat(), hook];
}
