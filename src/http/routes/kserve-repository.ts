import { type TSchema, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  RepositoryIndexRequestSchema,
  RepositoryModelRequestSchema,
} from '../../contract/schemas/inference.ts';
import { bodyValidator } from '../../contract/validation/body-validator.ts';
import { Problem, type ProblemCode } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import { MODEL_VERSION } from '../../service/models.ts';
import { json } from '../../wire/json/format.ts';
import { modelOf } from '../kserve-model.ts';
import { INFERENCE_JSON, sendInferenceJson } from '../kserve-reply.ts';
import { inferenceErrors } from '../openapi/inference-responses.ts';
import { response } from '../openapi/responses.ts';
import { jsonBodies } from '../plugins/json-bodies.ts';
import { readinessOf } from '../readiness.ts';
import type { KserveContext } from './kserve.ts';
import { PLAIN, TAG } from './kserve-route.ts';

const REFUSALS: readonly ProblemCode[] = [
  'malformed_body',
  'invalid_request',
  'body_too_large',
  'unsupported_media_type',
  'store_unavailable',
];
const MODEL_REFUSALS: readonly ProblemCode[] = [...REFUSALS, 'not_found', 'layer_damaged'];
const MODEL_PARAMS = Type.Object({
  model: Type.String({ description: 'Name of a model.', examples: ['multi-head-attention'] }),
});

/** The repository of models: what is in it, and loading and unloading, of which the models here have little need. */
export async function repositoryRoutes(
  app: FastifyInstance,
  { engine, models, limits }: KserveContext,
): Promise<void> {
  const find = (name: string) => models.find(name);
  await app.register(jsonBodies, { limits });

  const readBody = (schema: TSchema) => {
    const faultOf = bodyValidator(schema);
    return <Body extends object>({ body }: FastifyRequest): Partial<Body> => {
      if (!(body instanceof Uint8Array) || body.length === 0) return {};
      const { envelope } = json.decode(body, { fields: {}, limits });
      const fault = faultOf(envelope);
      if (fault !== null) throw fault;
      return envelope as Body;
    };
  };
  const readIndexRequest = readBody(RepositoryIndexRequestSchema);
  const readModelRequest = readBody(RepositoryModelRequestSchema);

  app.post('/v2/repository/index', {
    config: PLAIN,
    schema: {
      operationId: 'indexRepository',
      tags: [TAG],
      summary: 'All models and their states',
      description: 'The body may be empty; `{"ready": true}` lists only models that are ready.',
      body: Type.Ref('RepositoryIndexRequest'),
      response: {
        200: response('The models.', [INFERENCE_JSON], Type.Ref('RepositoryIndex')),
        ...inferenceErrors(REFUSALS, '/v2/repository/index'),
      },
    },
    handler: async (request, reply) => {
      const { ready = false } = readIndexRequest<{ ready: boolean }>(request);
      const isReady = readinessOf(app, engine) === 'ready';
      const state = isReady ? 'READY' : 'UNAVAILABLE';
      const reason = isReady ? '' : 'The server is not ready.';
      const listed = ready && !isReady ? [] : await models.list();
      return sendInferenceJson(
        reply,
        listed.map(({ name }) => ({ name, version: MODEL_VERSION, state, reason })),
      );
    },
  });

  app.post('/v2/repository/models/:model/load', {
    config: PLAIN,
    schema: {
      operationId: 'loadModel',
      tags: [TAG],
      summary: 'Have the weights of a model in memory',
      description:
        'A registered layer is otherwise opened at its first call; what is built in is there already. The body may be empty.',
      params: MODEL_PARAMS,
      body: Type.Ref('RepositoryModelRequest'),
      response: {
        200: response('It is loaded.', [INFERENCE_JSON], Type.Ref('RepositoryModel')),
        ...inferenceErrors(MODEL_REFUSALS, '/v2/repository/models/:model/load'),
      },
    },
    handler: async (request, reply) => {
      const { name, open } = await modelOf(request, find);
      const { parameters = {} } = readModelRequest<{ parameters: object }>(request);
      const [given] = Object.keys(parameters);
      if (given !== undefined) {
        const detail = `Expected no parameters to load a model with; got ${quoted(given)}.`;
        throw new Problem('invalid_request', detail);
      }
      await open?.();
      return sendInferenceJson(reply, { name, load: true });
    },
  });

  app.post('/v2/repository/models/:model/unload', {
    config: PLAIN,
    schema: {
      operationId: 'unloadModel',
      tags: [TAG],
      summary: 'Let go of the memory of a model',
      description:
        'The weights of a registered layer leave the memory; the layer stays, and its next call opens it again. What is built ' +
        'in has none, and the answer is a 400 that says so. The body may be empty.',
      params: MODEL_PARAMS,
      body: Type.Ref('RepositoryModelRequest'),
      response: {
        200: response('It is unloaded.', [INFERENCE_JSON], Type.Ref('RepositoryModel')),
        ...inferenceErrors(MODEL_REFUSALS, '/v2/repository/models/:model/unload'),
      },
    },
    handler: async (request, reply) => {
      const { name, close } = await modelOf(request, find);
      readModelRequest(request);
      if (close === undefined) {
        throw new Problem('invalid_request', `The model "${name}" is built in and cannot be unloaded.`);
      }
      await close();
      return sendInferenceJson(reply, { name, load: false });
    },
  });
}
