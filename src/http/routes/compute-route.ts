import { type TSchema, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Layer } from '../../contract/layer.ts';
import { operationNamed } from '../../contract/operations.ts';
import type { ProblemCode } from '../../domain/problem.ts';
import { DECODERS, ENCODERS } from '../../wire/registry.ts';
import { asBytes } from '../as-bytes.ts';
import { computeHeaders, problemResponses, response } from '../openapi/responses.ts';
import { requestFormat, responseFormat, ticketOf } from '../plugins/compute.ts';

/** One compute operation: its address and its words. */
export interface ComputeRoute {
  readonly url: string;
  /** Name of a row of the operations. */
  readonly operation: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  /** $id of the schema of the response. */
  readonly response: string;
  /** For operations that call a registered layer: what of the address names it, and the layer itself. */
  readonly layer?: {
    readonly params: TSchema;
    readonly of: (request: FastifyRequest, signal: AbortSignal) => Promise<Layer>;
    readonly refusals: readonly ProblemCode[];
  };
}

/** How a body that is read in the engine may be refused. */
export const REFUSALS: readonly ProblemCode[] = [
  'malformed_body',
  'invalid_request',
  'invalid_header',
  'not_acceptable',
  'body_too_large',
  'unsupported_media_type',
  'invalid_tensor',
  'shape_mismatch',
  'invalid_option',
  'empty_row',
  'numeric_overflow',
  'over_budget',
  'worker_lost',
  'over_capacity',
  'stopping',
  'deadline_exceeded',
];

/** Media types of answers. */
export const PRODUCED = ENCODERS.map(({ mediaType }) => mediaType);

/** Registers a compute operation in a scope that has the `compute` plugin. */
export function addComputeRoute(scope: FastifyInstance, route: ComputeRoute): void {
  scope.route({
    method: 'POST',
    url: route.url,
    config: { transientBody: true },
    schema: {
      operationId: route.operationId,
      tags: ['attention'],
      summary: route.summary,
      description: route.description,
      consumes: DECODERS.map(({ mediaType }) => mediaType),
      ...(route.layer === undefined ? {} : { params: route.layer.params }),
      body: Type.Ref(operationNamed(route.operation).body.$id as string),
      response: {
        200: response('The result.', PRODUCED, Type.Ref(route.response), computeHeaders),
        ...problemResponses([...REFUSALS, ...(route.layer?.refusals ?? [])], route.url),
      },
    },
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const answerFormat = responseFormat(request);
      const ticket = ticketOf(request);
      const { bytes } = await ticket.call({
        operation: route.operation,
        format: requestFormat(request).name,
        bytes: request.body as Uint8Array,
        answerFormat: answerFormat.name,
        layer: await route.layer?.of(request, ticket.signal),
      });
      return asBytes(reply, answerFormat.mediaType, bytes);
    },
  });
}
