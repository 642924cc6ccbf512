import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { describeLayer, type Layers } from '../../../service/layers.ts';
import { readPreconditions } from '../../entity-tags.ts';
import { emptyResponse, problemResponses, response } from '../../openapi/responses.ts';
import { LayerParams, layerHeaders, layerNameOf, READ_REFUSALS } from './address.ts';
import { sendUnlessKnown } from './conditional.ts';

const JSON_TYPE = ['application/json'];
const ADDRESS = '/v1/layers/:layer';

/** What there is, and taking it away. */
export function addLayerResources(scope: FastifyInstance, layers: Layers): void {
  scope.get('/v1/layers', {
    schema: {
      operationId: 'listLayers',
      tags: ['layers'],
      summary: 'Every registered layer',
      description: 'By name, with options and shapes, and without the numbers.',
      response: {
        200: response('The layers.', JSON_TYPE, Type.Ref('LayerList')),
        ...problemResponses(['store_unavailable'], '/v1/layers'),
      },
    },
    handler: async (_request, reply) => {
      const list = await layers.list();
      return reply.header('cache-control', 'no-cache').send({ layers: list.map(describeLayer) });
    },
  });

  scope.get(ADDRESS, {
    schema: {
      operationId: 'getLayer',
      tags: ['layers'],
      summary: 'One registered layer',
      description: 'Its options and the shapes of its tensors. 304 where If-None-Match names its etag.',
      params: LayerParams,
      response: {
        200: response('The layer.', JSON_TYPE, Type.Ref('Layer'), layerHeaders),
        304: emptyResponse('It is the one that If-None-Match names.', layerHeaders),
        ...problemResponses([...READ_REFUSALS, 'precondition_failed'], ADDRESS),
      },
    },
    handler: async (request, reply) => {
      const layer = await layers.find(layerNameOf(request));
      return sendUnlessKnown(request, reply, layer, async () => describeLayer(layer));
    },
  });

  scope.delete(ADDRESS, {
    schema: {
      operationId: 'deleteLayer',
      tags: ['layers'],
      summary: 'Take a name away',
      description:
        'Calls that are under way still end. `If-Match` takes it away only where it has a known content.',
      params: LayerParams,
      response: {
        204: emptyResponse('It is gone.'),
        ...problemResponses(
          [...READ_REFUSALS, 'precondition_failed', 'conflict', 'insufficient_storage'],
          ADDRESS,
        ),
      },
    },
    handler: async (request, reply) => {
      await layers.delete(layerNameOf(request), readPreconditions(request.headers));
      return reply.code(204).send();
    },
  });
}
