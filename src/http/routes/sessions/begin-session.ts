import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { SessionBody } from '../../../contract/schemas/sessions.ts';
import { SessionRequestSchema } from '../../../contract/schemas/sessions.ts';
import { bodyValidator } from '../../../contract/validation/body-validator.ts';
import type { Sessions } from '../../../service/sessions/sessions.ts';
import { computeHeaders, problemResponses, response } from '../../openapi/responses.ts';
import { requestFormat, ticketOf } from '../../plugins/compute.ts';
import { REFUSALS } from '../compute-route.ts';

const ADDRESS = '/v1/sessions';

/** 128 bits in hexadecimal digits. */
const GIVEN_ID = /^[0-9a-f]{32}$/;

/** What only calls are refused for. */
const NOT_HERE = ['empty_row', 'numeric_overflow', 'invalid_tensor', 'shape_mismatch'];

/** Beginning a session, in a scope that has the `compute` plugin. */
export function addBeginSession(scope: FastifyInstance, sessions: Sessions): void {
  const faultOf = bodyValidator(SessionRequestSchema);
  const headers = {
    ...computeHeaders,
    Location: Type.String({ description: 'The address of the session.' }),
  };
  scope.post(ADDRESS, {
    config: { transientBody: true },
    schema: {
      operationId: 'beginSession',
      tags: ['sessions'],
      summary: 'Begin a sequence of tokens on a registered layer',
      description:
        'A session keeps the keys and values of its tokens, in the precision of the layer, so that every append ' +
        'carries the next tokens only. It lives in the memory of this instance and is for the content that the layer ' +
        'has now. It is lost (410) when it is deleted, when nothing is appended for long, when its memory is needed ' +
        'for others, and when the layer is changed or deleted. A proxy that is trusted (TRUST_PROXY) may give the id, ' +
        'as 32 hexadecimal digits in X-Session-Id; one that a session has is a 400.',
      consumes: ['application/json'],
      body: Type.Ref('SessionRequest'),
      response: {
        201: response('The session.', ['application/json'], Type.Ref('Session'), headers),
        ...problemResponses(
          [
            ...REFUSALS.filter((code) => !NOT_HERE.includes(code)),
            'not_found',
            'layer_damaged',
            'store_unavailable',
          ],
          ADDRESS,
        ),
      },
    },
    handler: async (request, reply) => {
      const { name } = requestFormat(request);
      const ticket = ticketOf(request);
      const { envelope } = await ticket.decode(name, request.body as Uint8Array, {});
      const fault = faultOf(envelope);
      if (fault !== null) throw fault;
      const session = await sessions.begin(envelope as SessionBody, ticket.signal, givenId(request));
      return reply.code(201).header('location', `${ADDRESS}/${session.session_id}`).send(session);
    },
  });
}

/**
 * The id that a gateway has made for the session, by which it sends all of its requests to one instance. Only of a trusted
 * proxy, which says for whom it asks, so that `ips` has the caller's address besides its own: an id that callers could choose
 * could be one that others guess.
 */
function givenId({ ips = [], headers }: FastifyRequest): string | undefined {
  const id = headers['x-session-id'];
  return ips.length > 1 && typeof id === 'string' && GIVEN_ID.test(id) ? id : undefined;
}
