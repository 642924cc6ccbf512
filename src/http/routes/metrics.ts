import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Engine } from '../../engine/engine.ts';
import type { Layers } from '../../service/layers.ts';
import type { Sessions } from '../../service/sessions/sessions.ts';
import { problemResponses, response } from '../openapi/responses.ts';
import { Counter, Gauge } from '../prometheus.ts';

export interface MetricsOptions {
  readonly engine: Engine;
  readonly layers: Layers;
  readonly sessions: Sessions;
}

/** What is looked up when somebody asks: name without `attention_`, what it is, and its value. */
type Reading = readonly [name: string, help: string, read: () => number];

/** Everything that is counted, as Prometheus reads it. */
export async function metricsRoutes(
  app: FastifyInstance,
  { engine, layers, sessions }: MetricsOptions,
): Promise<void> {
  const gauges: readonly Reading[] = [
    ['engine_threads', 'Worker threads that there should be.', () => engine.stats().threads],
    ['engine_threads_up', 'Worker threads that are up.', () => engine.stats().threadsUp],
    ['engine_requests', 'Requests admitted and not yet answered.', () => engine.stats().requests],
    ['engine_bytes', 'Bytes reserved by them.', () => engine.stats().bytes],
    ['engine_queued_jobs', 'Jobs with work that no thread has taken.', () => engine.stats().queuedJobs],
    ['layers_open', 'Registered layers in memory.', () => layers.stats().open],
    ['layers_packed', 'Layers whose weights are kept packed.', () => layers.stats().packed],
    ['layers_bytes', 'Bytes of the layers in memory, packed weights included.', () => layers.stats().bytes],
    ['layers_packed_bytes', 'Bytes of packed weights.', () => layers.stats().packedBytes],
    ['sessions_open', 'Sessions that there are.', () => sessions.stats().open],
    ['sessions_bytes', 'Bytes that they count for.', () => sessions.stats().bytes],
  ];
  const totals: readonly Reading[] = [
    ['engine_tiles_computed_total', 'Tiles computed.', () => engine.stats().tilesComputed],
    ['engine_calls_batched_total', 'Calls done at one go with others.', () => engine.stats().callsBatched],
    ['engine_workers_lost_total', 'Worker threads that ended unasked.', () => engine.stats().workersLost],
    ['sessions_evicted_total', 'Sessions lost to others for memory.', () => sessions.losses().evicted],
    ['sessions_expired_total', 'Sessions lost to time.', () => sessions.losses().expired],
  ];
  for (const [name, help, read] of gauges) {
    new Gauge({
      ...described(name, help),
      collect() {
        this.set(read());
      },
    });
  }
  for (const [name, help, read] of totals) {
    new Counter({
      ...described(name, help),
      // Counted where it happens; here it is only told.
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  function described(name: string, help: string) {
    return { name: `attention_${name}`, help, registers: [app.metrics] };
  }

  const { contentType } = app.metrics;
  app.get('/metrics', {
    schema: {
      operationId: 'getMetrics',
      tags: ['service'],
      summary: 'Counters and gauges for Prometheus',
      description:
        'Requests and their durations by method, route and status, and what the engine, the layers and the sessions ' +
        'hold, in the text format of Prometheus. Of this instance alone: scrape each of several.',
      response: {
        200: response('The metrics.', ['text/plain'], Type.String()),
        ...problemResponses([], '/metrics'),
      },
    },
    handler: async (_request, reply) =>
      reply
        .type(contentType)
        .header('cache-control', 'no-store')
        .send(await app.metrics.metrics()),
  });
}
