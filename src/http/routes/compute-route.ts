import { type TSchema, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { tensorFieldsOf } from '../../contract/schemas/index.ts';
import type { AttentionOptions } from '../../contract/schemas/options.ts';
import type { AttentionCall } from '../../domain/call.ts';
import type { Limits } from '../../domain/limits.ts';
import type { ProblemCode } from '../../domain/problem.ts';
import { runAttention } from '../../service/attention.ts';
import { DECODERS, ENCODERS } from '../../wire/registry.ts';
import { computeHeaders, problemResponses, response } from '../openapi/responses.ts';
import { responseFormat, ticketOf } from '../plugins/compute.ts';

/** One compute operation: its address, its words, its body and how that is read. */
export interface ComputeRoute<Body extends AttentionOptions> {
  readonly url: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  /** A schema with an $id; the tensors that are to be lifted out of the body are found in it. */
  readonly body: TSchema & { static: Body };
  /** $id of the schema of the response. */
  readonly response: string;
  readonly read: (body: Body, limits: Limits) => AttentionCall;
}

const REFUSALS: readonly ProblemCode[] = [
  'malformed_body',
  'invalid_request',
  'invalid_header',
  'not_acceptable',
  'request_timeout',
  'body_too_large',
  'unsupported_media_type',
  'invalid_tensor',
  'shape_mismatch',
  'invalid_option',
  'empty_row',
  'numeric_overflow',
  'over_budget',
  'headers_too_large',
  'internal_error',
  'worker_lost',
  'over_capacity',
  'stopping',
  'deadline_exceeded',
];

const produced = ENCODERS.map(({ mediaType }) => mediaType);

/** Registers a compute operation in a scope that has the `compute` plugin. */
export function addComputeRoute<Body extends AttentionOptions>(
  scope: FastifyInstance,
  route: ComputeRoute<Body>,
  limits: Limits,
): void {
  scope.route({
    method: 'POST',
    url: route.url,
    config: { tensorFields: tensorFieldsOf(route.body) },
    schema: {
      operationId: route.operationId,
      tags: ['attention'],
      summary: route.summary,
      description: route.description,
      consumes: DECODERS.map(({ mediaType }) => mediaType),
      body: Type.Ref(route.body.$id as string),
      response: {
        200: response('The result.', produced, Type.Ref(route.response), computeHeaders),
        ...problemResponses(REFUSALS, route.url),
      },
    },
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const body = request.body as Body;
      const ticket = ticketOf(request);
      const answer = await runAttention(ticket, route.read(body, limits));
      const format = responseFormat(request);
      const encoding = body.response?.encoding ?? 'nested';
      const { buffer, byteOffset, byteLength } = await ticket.encode(format.name, answer, { encoding });
      return reply.type(format.mediaType).send(Buffer.from(buffer, byteOffset, byteLength));
    },
  });
}
