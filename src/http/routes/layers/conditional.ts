import type { FastifyReply, FastifyRequest } from 'fastify';
import { checkPreconditions, names } from '../../../service/preconditions.ts';
import type { StoredLayer } from '../../../store/store.ts';
import { entityTag, readPreconditions } from '../../entity-tags.ts';

/**
 * Sends a representation of a layer, or 304 where the caller has it already (RFC 9110, section 13.2.2). It may be kept,
 * and is to be asked for again each time.
 * @throws {Problem} precondition_failed where If-Match names another one; invalid_header.
 */
export async function sendUnlessKnown(
  request: FastifyRequest,
  reply: FastifyReply,
  layer: StoredLayer,
  represent: () => Promise<object>,
): Promise<FastifyReply> {
  const { ifMatch, ifNoneMatch } = readPreconditions(request.headers);
  checkPreconditions({ ifMatch, ifNoneMatch: null }, layer.name, layer.etag);
  reply
    .header('etag', entityTag(layer.etag))
    .header('last-modified', new Date(layer.registered_at).toUTCString())
    .header('cache-control', 'no-cache');
  if (ifNoneMatch !== null && names(ifNoneMatch, layer.etag)) return reply.code(304).send();
  return reply.send(await represent());
}
