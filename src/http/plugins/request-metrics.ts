import type { FastifyReply, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import type * as Prometheus from 'prom-client';
import { Histogram, Registry } from '../prometheus.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** What is counted in this instance of the service. */
    readonly metrics: Prometheus.Registry;
  }
}

/** Upper bounds in seconds: from calls of microseconds to the longest deadline. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** `route` of requests to addresses that are not there. */
const NO_ROUTE = 'none';

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
    return (reply: FastifyReply) => {
      const { statusCode, elapsedTime } = reply;
      let observe = series.get(statusCode);
      if (observe === undefined) {
        ({ observe } = durations.labels(method, route, String(statusCode)));
        series.set(statusCode, observe);
      }
      observe(elapsedTime / 1000);
    };
  };

  app.addHook('onRoute', (route) => {
    const methods = new Map([route.method].flat().map((method) => [method, counting(method, route.url)]));
    addHook(route, (request, reply, done) => {
      methods.get(request.method)?.(reply);
      done();
    });
  });

  const unknown = new Map<string, (reply: FastifyReply) => void>();
  app.addHook('onResponse', (request, reply, done) => {
    if (request.is404) {
      const { method } = request;
      const count = unknown.get(method) ?? counting(method, NO_ROUTE);
      unknown.set(method, count);
      count(reply);
    }
    done();
  });
});

type Hook = Extract<RouteOptions['onResponse'], (...rest: never[]) => unknown>;

function addHook(route: RouteOptions, hook: Hook): void {
  route.onResponse = [...[route.onResponse ?? []].flat(), hook];
}
