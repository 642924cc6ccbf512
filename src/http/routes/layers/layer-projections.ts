import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Engine } from '../../../engine/engine.ts';
import type { Layers } from '../../../service/layers.ts';
import { formatForAccept } from '../../../wire/registry.ts';
import { safetensors } from '../../../wire/safetensors/format.ts';
import { emptyResponse, problemResponses, response } from '../../openapi/responses.ts';
import { releaseAtEnd } from '../../release-at-end.ts';
import { LayerParams, layerHeaders, layerNameOf, READ_REFUSALS } from './address.ts';
import { sendUnlessKnown } from './conditional.ts';

const ADDRESS = '/v1/layers/:layer/projections';

export interface ProjectionsOptions {
  readonly engine: Engine;
  readonly layers: Layers;
}

/** The file of a layer. It takes a place in the engine, which bounds the memory of all that is sent at a time. */
export function addLayerProjections(scope: FastifyInstance, { engine, layers }: ProjectionsOptions): void {
  scope.get(ADDRESS, {
    schema: {
      operationId: 'getLayerProjections',
      tags: ['layers'],
      summary: 'The projections of a layer, as a safetensors file',
      description:
        'Tensors as they were registered, by our own names (`w_q`, `b_q`, …), and the options as JSON in ' +
        '`__metadata__.request`. The etag is the SHA-256 of these bytes. Registered again as it is, the file gives the ' +
        'same layer.',
      produces: [safetensors.mediaType],
      params: LayerParams,
      response: {
        200: response(
          'The file.',
          [safetensors.mediaType],
          Type.Unsafe({ type: 'string', format: 'binary' }),
          layerHeaders,
        ),
        304: emptyResponse('It is the file that If-None-Match names.', layerHeaders),
        ...problemResponses(
          [
            ...READ_REFUSALS,
            'precondition_failed',
            'not_acceptable',
            'layer_damaged',
            'over_capacity',
            'stopping',
          ],
          ADDRESS,
        ),
      },
    },
    handler: async (request, reply) => {
      formatForAccept(request.headers.accept, [safetensors]);
      return layers.represent(layerNameOf(request), (layer, file) =>
        sendUnlessKnown(request, reply, layer, async () => {
          const ticket = engine.admit(layer.bytes);
          releaseAtEnd(reply.raw, ticket);
          ticket.signal.throwIfAborted();
          const { buffer, byteOffset, byteLength } = await file();
          reply.type(safetensors.mediaType);
          return Buffer.from(buffer, byteOffset, byteLength);
        }),
      );
    },
  });
}
