import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Limits } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import {
  DECODERS,
  type Decoder,
  type Encoder,
  formatForAccept,
  formatForContentType,
} from '../../wire/registry.ts';
import { checkAcceptEncoding } from '../accept-encoding.ts';
import { readContentEncoding } from '../content-encoding.ts';
import { intake } from './intake.ts';

export { ticketOf } from './intake.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The formats that the headers ask for; null on other routes. */
    formats: { readonly body: Decoder; readonly answer: Encoder } | null;
  }
}

export interface ComputeOptions {
  readonly engine: Engine;
  readonly limits: Limits;
}

/**
 * How a compute request flows, for every route of the scope that this is registered in: headers are checked before
 * anything is taken or read, then its body comes in.
 */
export const compute = fp<ComputeOptions>(async (scope, options) => {
  scope.decorateRequest('formats', null);
  scope.addHook('onRequest', (request, _reply, done) => {
    const { headers } = request;
    // curl and other clients that name no type mean JSON.
    headers['content-type'] ??= DECODERS[0].mediaType;
    const body = formatForContentType(headers['content-type']);
    readContentEncoding(headers['content-encoding']);
    checkAcceptEncoding(headers['accept-encoding']);
    request.formats = { body, answer: formatForAccept(headers.accept) };
    done();
  });
  await scope.register(intake, { ...options, mediaTypes: DECODERS.map(({ mediaType }) => mediaType) });
});

/** The format of the body. */
export function requestFormat(request: FastifyRequest): Decoder {
  return formatsOf(request).body;
}

/** The format that the caller accepts best. */
export function responseFormat(request: FastifyRequest): Encoder {
  return formatsOf(request).answer;
}

function formatsOf({ formats }: FastifyRequest): NonNullable<FastifyRequest['formats']> {
  if (formats === null) throw new Error('The headers of the request have not been read.');
  return formats;
}
