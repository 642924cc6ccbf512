import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Sessions } from '../../../service/sessions/sessions.ts';
import { DECODERS } from '../../../wire/registry.ts';
import { asBytes } from '../../as-bytes.ts';
import { computeHeaders, problemResponses, response } from '../../openapi/responses.ts';
import { requestFormat, responseFormat, ticketOf } from '../../plugins/compute.ts';
import { PRODUCED, REFUSALS } from '../compute-route.ts';
import { SESSION_REFUSALS, SessionParams, sessionIdOf } from './address.ts';

const ADDRESS = '/v1/sessions/:session_id/append';

/** Appending to a session, in a scope that has the `compute` plugin. */
export function addAppend(scope: FastifyInstance, sessions: Sessions): void {
  scope.post(ADDRESS, {
    config: { transientBody: true },
    schema: {
      operationId: 'appendToSession',
      tags: ['sessions'],
      summary: 'Append tokens and get their outputs',
      description:
        'Each new token sees itself and the tokens before it, as far as the window of the layer goes; positions go on ' +
        'where the session stands. Appends to one session are done in the order in which they come. One that fails or ' +
        'is given up leaves the session as it was. `expected_position` makes an append safe to send again: one that ' +
        'was applied is answered again with the same numbers and not applied twice, as long as it was the last.',
      consumes: DECODERS.map(({ mediaType }) => mediaType),
      params: SessionParams,
      body: Type.Ref('AppendRequest'),
      response: {
        200: response('The outputs.', PRODUCED, Type.Ref('AppendResponse'), computeHeaders),
        ...problemResponses(
          [
            ...REFUSALS.filter((code) => code !== 'empty_row'),
            ...SESSION_REFUSALS,
            'position_conflict',
            'layer_damaged',
          ],
          ADDRESS,
        ),
      },
    },
    handler: async (request, reply) => {
      const answerFormat = responseFormat(request);
      const append = {
        format: requestFormat(request).name,
        bytes: request.body as Uint8Array,
        answerFormat: answerFormat.name,
      };
      const { bytes } = await sessions.append(sessionIdOf(request), append, ticketOf(request));
      return asBytes(reply, answerFormat.mediaType, bytes);
    },
  });
}
