import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Sessions } from '../../../service/sessions/sessions.ts';
import { emptyResponse, problemResponses, response } from '../../openapi/responses.ts';
import { SESSION_REFUSALS, SessionParams, sessionIdOf } from './address.ts';

const ADDRESS = '/v1/sessions/:session_id';

/** Where a session stands, and its end. */
export function addSessionResource(scope: FastifyInstance, sessions: Sessions): void {
  scope.get(ADDRESS, {
    schema: {
      operationId: 'getSession',
      tags: ['sessions'],
      summary: 'Where a session stands',
      description: 'Asking for it does not keep it: it expires as if it had not been asked for.',
      params: SessionParams,
      response: {
        200: response('The session.', ['application/json'], Type.Ref('Session')),
        ...problemResponses(SESSION_REFUSALS, ADDRESS),
      },
    },
    handler: async (request, reply) =>
      reply.header('cache-control', 'no-store').send(await sessions.find(sessionIdOf(request))),
  });

  scope.delete(ADDRESS, {
    schema: {
      operationId: 'deleteSession',
      tags: ['sessions'],
      summary: 'End a session',
      description:
        'Its memory is free; an append that is under way is still answered. The session is lost: 410.',
      params: SessionParams,
      response: {
        204: emptyResponse('It is gone.'),
        ...problemResponses(
          SESSION_REFUSALS.filter((code) => code !== 'store_unavailable'),
          ADDRESS,
        ),
      },
    },
    handler: async (request, reply) => {
      sessions.end(sessionIdOf(request));
      return reply.code(204).send();
    },
  });
}
