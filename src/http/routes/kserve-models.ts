import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { ProblemCode } from '../../domain/problem.ts';
import { describeModel } from '../../service/models.ts';
import { modelOf } from '../kserve-model.ts';
import { INFERENCE_JSON, sendInferenceJson } from '../kserve-reply.ts';
import { inferenceErrors } from '../openapi/inference-responses.ts';
import { response } from '../openapi/responses.ts';
import { readinessOf } from '../readiness.ts';
import type { KserveContext } from './kserve.ts';
import { MODEL_ADDRESSES, PLAIN, TAG } from './kserve-route.ts';

const LIST_REFUSALS: readonly ProblemCode[] = ['store_unavailable'];
const REFUSALS: readonly ProblemCode[] = ['invalid_request', 'not_found', ...LIST_REFUSALS];

/** What models there are, what each takes and gives, whether it takes requests, and what it has done. */
export async function modelRoutes(
  app: FastifyInstance,
  { engine, models, statistics }: KserveContext,
): Promise<void> {
  app.get('/v2/models', {
    config: PLAIN,
    schema: {
      operationId: 'listModels',
      tags: [TAG],
      summary: 'The names of all models',
      description: 'Every operation of this service is a model, and every registered layer.',
      response: {
        200: response('The names.', [INFERENCE_JSON], Type.Ref('ModelList')),
        ...inferenceErrors(LIST_REFUSALS, '/v2/models'),
      },
    },
    handler: async (_request, reply) =>
      sendInferenceJson(reply, { models: (await models.list()).map(({ name }) => name) }),
  });

  app.get('/v2/models/stats', {
    config: PLAIN,
    schema: {
      operationId: 'getStatistics',
      tags: [TAG],
      summary: 'Counts and durations of all models',
      description: 'Sums since this instance started; two readings give the rates between them.',
      response: {
        200: response('The statistics.', [INFERENCE_JSON], Type.Ref('ModelStatistics')),
        ...inferenceErrors(LIST_REFUSALS, '/v2/models/stats'),
      },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      const listed = await models.list();
      return sendInferenceJson(reply, { model_stats: listed.map(({ name }) => statistics.of(name)) });
    },
  });

  const find = (name: string) => models.find(name);
  for (const { url, params, suffix, words } of MODEL_ADDRESSES) {
    app.get(url, {
      config: PLAIN,
      schema: {
        operationId: `getModel${suffix}Metadata`,
        tags: [TAG],
        summary: `What a model takes and gives${words}`,
        description:
          'Inputs are named by their JSON path in the body of the operation; only those that the operation requires have ' +
          'to be sent. Shapes are those of batches; where the operation takes other ranks, so does the model.',
        params,
        response: {
          200: response('The description.', [INFERENCE_JSON], Type.Ref('ModelMetadata')),
          ...inferenceErrors(REFUSALS, url),
        },
      },
      handler: async (request, reply) =>
        sendInferenceJson(reply, describeModel(await modelOf(request, find))),
    });

    app.get(`${url}/ready`, {
      config: PLAIN,
      schema: {
        operationId: `getModel${suffix}Ready`,
        tags: [TAG],
        summary: `Whether a model takes requests${words}`,
        description: '503 while the server is not ready.',
        params,
        response: {
          200: response('It does.', [INFERENCE_JSON], Type.Ref('ModelReady')),
          ...inferenceErrors(REFUSALS, `${url}/ready`),
          503: response(
            'It does not, at the moment, or the store that knows cannot be reached.',
            [INFERENCE_JSON],
            Type.Union([Type.Ref('ModelReady'), Type.Ref('InferenceError')]),
          ),
        },
      },
      handler: async (request, reply) => {
        const { name } = await modelOf(request, find);
        const ready = readinessOf(app, engine) === 'ready';
        reply.code(ready ? 200 : 503).header('cache-control', 'no-store');
        return sendInferenceJson(reply, { name, ready });
      },
    });

    app.get(`${url}/stats`, {
      config: PLAIN,
      schema: {
        operationId: `getModel${suffix}Statistics`,
        tags: [TAG],
        summary: `Counts and durations of a model${words}`,
        description: 'Sums since this instance started; two readings give the rates between them.',
        params,
        response: {
          200: response('The statistics.', [INFERENCE_JSON], Type.Ref('ModelStatistics')),
          ...inferenceErrors(REFUSALS, `${url}/stats`),
        },
      },
      handler: async (request, reply) => {
        const { name } = await modelOf(request, find);
        reply.header('cache-control', 'no-store');
        return sendInferenceJson(reply, { model_stats: [statistics.of(name)] });
      },
    });
  }
}
