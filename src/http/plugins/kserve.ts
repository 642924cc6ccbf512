import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Limits } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Statistics } from '../../service/model-statistics.ts';
import type { Model, Models } from '../../service/models.ts';
import { parseMediaType } from '../../wire/media-type.ts';
import { readContentEncoding } from '../content-encoding.ts';
import { modelOf } from '../kserve-model.ts';
import { INFERENCE_JSON } from '../kserve-reply.ts';
import { intake } from './intake.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The model that an inference request is for; null on other routes, and where there is none of that name. */
    model: Model | null;
  }
}

export interface InferenceOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly models: Models;
  readonly statistics: Statistics;
}

export const HEADER_LENGTH = 'inference-header-content-length';
export const BINARY = 'application/octet-stream';

/** Where the JSON ends and whether anything follows, a header of its own says; so both types mean the same. */
const MEDIA_TYPES = [INFERENCE_JSON, BINARY];

/**
 * How an inference request flows, for every route of the scope that this is registered in: the model is looked up and
 * headers are checked before anything is taken or read, then its body comes in. What fails is counted.
 */
export const inference = fp<InferenceOptions>(async (scope, { engine, limits, models, statistics }) => {
  scope.decorateRequest('model', null);

  scope.addHook('onRequest', async (request) => {
    request.model = await modelOf(request, (name) => models.findToCall(name));
    // The Python client names no type.
    request.headers['content-type'] ??= INFERENCE_JSON;
    checkContentType(request.headers['content-type']);
    readContentEncoding(request.headers['content-encoding']);
    headerLengthOf(request);
  });

  await scope.register(intake, { engine, limits, mediaTypes: MEDIA_TYPES });

  scope.addHook('onError', async (request, reply) => {
    if (request.model !== null) statistics.failed(request.model.name, reply.elapsedTime);
  });
});

/** The model of a request that has come to its handler. */
export function modelOfRequest({ model }: FastifyRequest): Model {
  if (model === null) throw new Error('The request is for no model.');
  return model;
}

/**
 * Bytes of the JSON where binary tensors follow it, before any Content-Encoding; undefined where none do.
 * @throws {Problem} invalid_header.
 */
export function headerLengthOf({ headers }: FastifyRequest): number | undefined {
  const header = headers[HEADER_LENGTH];
  if (header === undefined) return undefined;
  const length = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
  if (length !== undefined) return length;
  const got = quoted(String(header));
  throw new Problem(
    'invalid_header',
    `Inference-Header-Content-Length: expected a number of bytes, 0 or more; got ${got}.`,
  );
}

function checkContentType(header: string): void {
  const mediaType = parseMediaType(header.trim());
  const charset = mediaType?.parameters.get('charset') ?? 'utf-8';
  if (MEDIA_TYPES.includes(mediaType?.essence ?? '') && /^utf-?8$/i.test(charset)) return;
  const got = quoted(header);
  const detail = `Content-Type: expected ${MEDIA_TYPES.join(' or ')}, in UTF-8, or none; got ${got}.`;
  throw new Problem('unsupported_media_type', detail);
}
