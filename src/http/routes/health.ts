import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Engine } from '../../engine/engine.ts';
import { problemResponses, response } from '../openapi/responses.ts';
import { readinessOf } from '../readiness.ts';

const JSON_TYPE = ['application/json'];

export interface HealthOptions {
  readonly engine: Engine;
}

/** Whether the process lives, and whether requests should be sent to it. */
export async function healthRoutes(app: FastifyInstance, { engine }: HealthOptions): Promise<void> {
  app.get('/health/live', {
    schema: {
      operationId: 'getLiveness',
      tags: ['service'],
      summary: 'Whether the process answers',
      description: 'Always 200: what does not answer is to be restarted.',
      response: {
        200: response('It does.', JSON_TYPE, Type.Ref('Liveness')),
        ...problemResponses([], '/health/live'),
      },
    },
    handler: async (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'live' }),
  });

  app.get('/health/ready', {
    schema: {
      operationId: 'getReadiness',
      tags: ['service'],
      summary: 'Whether requests should be sent here',
      description: '503 while the service starts or stops, and while no worker is up.',
      response: {
        200: response('They should.', JSON_TYPE, Type.Ref('Readiness')),
        503: response('They should not, at the moment.', JSON_TYPE, Type.Ref('Readiness')),
        ...problemResponses([], '/health/ready'),
      },
    },
    handler: async (_request, reply) => {
      const status = readinessOf(app, engine);
      return reply
        .code(status === 'ready' ? 200 : 503)
        .header('cache-control', 'no-store')
        .send({ status });
    },
  });
}
