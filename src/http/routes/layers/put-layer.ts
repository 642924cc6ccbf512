import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { type LayerUpload, LayerUploadSchema } from '../../../contract/schemas/layer-upload.ts';
import { Problem } from '../../../domain/problem.ts';
import { unlessAborted } from '../../../domain/unless-aborted.ts';
import { describeLayer, type Layers } from '../../../service/layers.ts';
import { DECODERS } from '../../../wire/registry.ts';
import { safetensors } from '../../../wire/safetensors/format.ts';
import { entityTag, readPreconditions } from '../../entity-tags.ts';
import { computeHeaders, problemResponses, response } from '../../openapi/responses.ts';
import { requestFormat, ticketOf } from '../../plugins/compute.ts';
import { REFUSALS } from '../compute-route.ts';
import { LayerParams, layerHeaders, layerNameOf } from './address.ts';

const ADDRESS = '/v1/layers/:layer';

/** Registering a layer, in a scope that has the `compute` plugin. */
export function addPutLayer(scope: FastifyInstance, layers: Layers): void {
  const headers = {
    ...computeHeaders,
    ...layerHeaders,
    Location: Type.String({ description: 'The address of the layer.' }),
  };
  scope.put(ADDRESS, {
    // The body is what is written to the store, which may still be going on when the caller has gone.
    config: { transientBody: false },
    schema: {
      operationId: 'putLayer',
      tags: ['layers'],
      summary: 'Register projections under a name',
      description:
        'The body is JSON, or a safetensors file as it is: `mapping` says whose names its tensors have, `prefix` which ' +
        'layer of the file is meant, and options stand in the address. What is registered is read as a call would ' +
        'read it first, so that it can be called. The etag names the content: the same layer has the same etag ' +
        'whatever way it came. `If-None-Match: *` registers a new name only, `If-Match` replaces a known content only.',
      consumes: DECODERS.map(({ mediaType }) => mediaType),
      params: LayerParams,
      querystring: LayerUploadSchema,
      body: Type.Ref('LayerRequest'),
      response: {
        200: response(
          'The layer was there, and has this content now.',
          JSON_TYPE,
          Type.Ref('Layer'),
          headers,
        ),
        201: response('The layer is new.', JSON_TYPE, Type.Ref('Layer'), headers),
        ...problemResponses(
          [
            ...REFUSALS.filter((code) => code !== 'empty_row'),
            'mapping_mismatch',
            'precondition_failed',
            'conflict',
            'store_unavailable',
            'insufficient_storage',
          ],
          ADDRESS,
        ),
      },
    },
    handler: async (request, reply) => {
      const name = layerNameOf(request);
      const format = requestFormat(request).name;
      const upload = request.query as LayerUpload;
      const isFile = format === safetensors.name;
      if (!isFile) refuseUpload(upload);
      const ticket = ticketOf(request);
      const body = { format, bytes: request.body as Uint8Array, upload: isFile ? upload : null };
      const registering = layers.put(name, body, ticket, readPreconditions(request.headers));
      // A store that is asked already may still do it; who is told of the deadline asks again what is there.
      const { layer, isNew } = await unlessAborted(registering, ticket.signal);
      return reply
        .code(isNew ? 201 : 200)
        .header('etag', entityTag(layer.etag))
        .header('last-modified', new Date(layer.registered_at).toUTCString())
        .header('location', `/v1/layers/${name}`)
        .send(describeLayer(layer));
    },
  });
}

const JSON_TYPE = ['application/json'];

/** What a JSON body says itself may not stand in the address too. */
function refuseUpload(upload: LayerUpload): void {
  const [first] = Object.keys(upload);
  if (first === undefined) return;
  const detail = `?${first}: expected with a safetensors file only, sent as Content-Type: application/vnd.safetensors; a JSON body says its options itself.`;
  throw new Problem('invalid_option', detail, [{ pointer: `/${first}`, detail }]);
}
