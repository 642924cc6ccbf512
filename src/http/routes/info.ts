import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Limits } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import { describeInstance, type Identity } from '../../service/info.ts';
import type { Layers } from '../../service/layers.ts';
import type { Sessions } from '../../service/sessions/sessions.ts';
import { DECODERS, ENCODERS } from '../../wire/registry.ts';
import { problemResponses, response } from '../openapi/responses.ts';

export interface InfoOptions {
  readonly identity: Identity;
  readonly engine: Engine;
  readonly layers: Layers;
  readonly sessions: Sessions;
  readonly limits: Limits;
}

const formats = {
  request: DECODERS.map(({ mediaType }) => mediaType),
  response: ENCODERS.map(({ mediaType }) => mediaType),
};

/** What this instance is, what it may use, and what it is doing. */
export async function infoRoutes(
  app: FastifyInstance,
  { identity, engine, layers, sessions, limits }: InfoOptions,
): Promise<void> {
  app.get('/v1/info', {
    schema: {
      operationId: 'getInfo',
      tags: ['service'],
      summary: 'Version, kernels, limits and load',
      description:
        'What this instance is, the limits that its problems speak of, and what its engine is doing.',
      response: {
        200: response('The description.', ['application/json'], Type.Ref('Info')),
        ...problemResponses([], '/v1/info'),
      },
    },
    handler: async (_request, reply) =>
      reply
        .header('cache-control', 'no-store')
        .send(describeInstance(identity, engine, layers, sessions, limits, formats)),
  });
}
