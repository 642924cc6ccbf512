import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { INFERENCE_JSON, sendInferenceJson } from '../kserve-reply.ts';
import { inferenceErrors } from '../openapi/inference-responses.ts';
import { response } from '../openapi/responses.ts';
import { readinessOf } from '../readiness.ts';
import type { KserveContext } from './kserve.ts';
import { PLAIN, TAG } from './kserve-route.ts';

const EXTENSIONS = [
  'binary_tensor_data',
  'model_repository',
  'parameters',
  'sequence',
  'sequence(string_id)',
  'statistics',
];

/** The server as a whole: what it is, whether it lives, and whether requests should be sent to it. */
export async function serverRoutes(app: FastifyInstance, { engine, identity }: KserveContext): Promise<void> {
  app.get('/v2', {
    config: PLAIN,
    schema: {
      operationId: 'getServerMetadata',
      tags: [TAG],
      summary: 'Name, version and extensions of the server',
      description: 'The Open Inference Protocol, version 2, with the extensions that the answer lists.',
      response: {
        200: response('The description.', [INFERENCE_JSON], Type.Ref('ServerMetadata')),
        ...inferenceErrors([], '/v2'),
      },
    },
    handler: async (_request, reply) =>
      sendInferenceJson(reply, { name: identity.name, version: identity.version, extensions: EXTENSIONS }),
  });

  app.get('/v2/health/live', {
    config: PLAIN,
    schema: {
      operationId: 'getServerLive',
      tags: [TAG],
      summary: 'Whether the server answers',
      description: 'Always 200: what does not answer is to be restarted.',
      response: {
        200: response('It does.', [INFERENCE_JSON], Type.Ref('ServerLive')),
        ...inferenceErrors([], '/v2/health/live'),
      },
    },
    handler: async (_request, reply) =>
      sendInferenceJson(reply.header('cache-control', 'no-store'), { live: true }),
  });

  app.get('/v2/health/ready', {
    config: PLAIN,
    schema: {
      operationId: 'getServerReady',
      tags: [TAG],
      summary: 'Whether requests should be sent to the server',
      description: '503 while the service starts or stops, and while no worker is up.',
      response: {
        200: response('They should.', [INFERENCE_JSON], Type.Ref('ServerReady')),
        503: response('They should not, at the moment.', [INFERENCE_JSON], Type.Ref('ServerReady')),
        ...inferenceErrors([], '/v2/health/ready'),
      },
    },
    handler: async (_request, reply) => {
      const ready = readinessOf(app, engine) === 'ready';
      reply.code(ready ? 200 : 503).header('cache-control', 'no-store');
      return sendInferenceJson(reply, { ready, live: true });
    },
  });
}
