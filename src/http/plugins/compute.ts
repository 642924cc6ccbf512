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
import { readContentEncoding } from '../content-encoding.ts';
import { intake } from './intake.ts';

export { ticketOf } from './intake.ts';

export interface ComputeOptions {
  readonly engine: Engine;
  readonly limits: Limits;
}

/**
 * How a compute request flows, for every route of the scope that this is registered in: headers are checked before
 * anything is taken or read, then its body comes in.
 */
export const compute = fp<ComputeOptions>(async (scope, options) => {
  scope.addHook('onRequest', async (request) => {
    // curl and other clients that name no type mean JSON.
    request.headers['content-type'] ??= DECODERS[0].mediaType;
    formatForContentType(request.headers['content-type']);
    readContentEncoding(request.headers['content-encoding']);
    formatForAccept(request.headers.accept);
  });
  await scope.register(intake, { ...options, mediaTypes: DECODERS.map(({ mediaType }) => mediaType) });
});

/** The format of the body. */
export function requestFormat(request: FastifyRequest): Decoder {
  return formatForContentType(request.headers['content-type']);
}

/** The format that the caller accepts best. */
export function responseFormat(request: FastifyRequest): Encoder {
  return formatForAccept(request.headers.accept);
}
