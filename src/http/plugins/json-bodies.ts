import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Limits } from '../../domain/limits.ts';
import { announcedLength, type BodyBudget, readBody } from '../body.ts';
import { readContentEncoding, readDecompressed } from '../content-encoding.ts';

const JSON_TYPE = 'application/json';

export interface JsonBodiesOptions {
  readonly limits: Pick<Limits, 'envelopeBytes'>;
}

/**
 * How small bodies without tensors come in, for every route of the scope that this is registered in: they are JSON,
 * whatever type their client names, or none. They take no place in the engine. To a handler the body is its bytes.
 */
export const jsonBodies = fp<JsonBodiesOptions>(async (scope, { limits: { envelopeBytes: limit } }) => {
  scope.addHook('onRequest', (request, _reply, done) => {
    request.headers['content-type'] = JSON_TYPE;
    readContentEncoding(request.headers['content-encoding']);
    done();
  });

  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(JSON_TYPE, async ({ headers }: FastifyRequest, stream: IncomingMessage) => {
    const length = announcedLength(headers['content-length'], limit);
    const coding = readContentEncoding(headers['content-encoding']);
    const budget: BodyBudget = {
      limit,
      memoryOf: (bytes) => new Uint8Array(bytes),
      // Nothing but the time that Node gives a request to arrive ends the waiting.
      signal: new AbortController().signal,
      coding,
    };
    return readDecompressed(stream, coding, budget, (plain) =>
      readBody(plain, coding === null ? length : undefined, budget),
    );
  });
});
