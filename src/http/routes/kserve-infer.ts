import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ProblemCode } from '../../domain/problem.ts';
import type { Ticket } from '../../engine/engine.ts';
import { MODEL_VERSION, type Model } from '../../service/models.ts';
import type { Encoded } from '../../wire/format.ts';
import { kserve } from '../../wire/kserve/format.ts';
import { sequenceOf } from '../../wire/kserve/sequence.ts';
import { asBytes } from '../as-bytes.ts';
import { INFERENCE_JSON } from '../kserve-reply.ts';
import { inferenceErrors } from '../openapi/inference-responses.ts';
import { computeHeaders, response } from '../openapi/responses.ts';
import { ticketOf } from '../plugins/intake.ts';
import { BINARY, HEADER_LENGTH, headerLengthOf, inference, modelOfRequest } from '../plugins/kserve.ts';
import { REFUSALS } from './compute-route.ts';
import type { KserveContext } from './kserve.ts';
import { MODEL_ADDRESSES, TAG } from './kserve-route.ts';

const INFER_REFUSALS: readonly ProblemCode[] = [
  ...REFUSALS.filter((code) => code !== 'not_acceptable'),
  'not_found',
  'store_unavailable',
  'layer_damaged',
  'session_lost',
  'position_conflict',
];

const headers = {
  ...computeHeaders,
  'Inference-Header-Content-Length': Type.Optional(
    Type.Integer({ description: 'Bytes of the JSON, where the bytes of outputs follow it.' }),
  ),
};

/** Calls of models. */
export async function inferRoutes(scope: FastifyInstance, context: KserveContext): Promise<void> {
  await scope.register(inference, context);

  for (const { url: model, params, suffix, words } of MODEL_ADDRESSES) {
    const url = `${model}/infer`;
    scope.post(url, {
      // Of all codings that its header accepts, the Python client undoes gzip.
      config: { transientBody: true, responseCodings: ['gzip'], tensorsBegin: headerLengthOf },
      schema: {
        operationId: `infer${suffix}`,
        tags: [TAG],
        summary: `Call a model${words}`,
        description:
          'Inputs are the tensors of the operation, and parameters its options. Tensors are numbers in the JSON, or bytes ' +
          'behind it, little-endian and in the order of `inputs`, where Inference-Header-Content-Length tells how long ' +
          'the JSON is; outputs come as the request asks. Errors are `{"error": "…"}`. ' +
          'A request to a registered layer that names a `sequence_id` carries the next tokens, as an append to a session.',
        consumes: [INFERENCE_JSON, BINARY],
        params,
        body: Type.Ref('InferenceRequest'),
        response: {
          200: response('The outputs.', [INFERENCE_JSON, BINARY], Type.Ref('InferenceResponse'), headers),
          ...inferenceErrors(INFER_REFUSALS, url),
        },
      },
      handler: (request, reply) => infer(request, reply, context),
    });
  }
}

async function infer(request: FastifyRequest, reply: FastifyReply, context: KserveContext): Promise<Buffer> {
  const model = modelOfRequest(request);
  const ticket = ticketOf(request);
  const call = { bytes: request.body as Uint8Array, headerBytes: headerLengthOf(request) };
  const { bytes, headerBytes, batch = 1 } = await answer(model, call, ticket, context);
  const { statistics } = context;
  statistics.succeeded(model.name, { batch, totalMs: reply.elapsedTime, timings: ticket.timings });
  if (headerBytes !== undefined) reply.header(HEADER_LENGTH, headerBytes);
  return asBytes(reply, headerBytes === undefined ? INFERENCE_JSON : BINARY, bytes);
}

/** As a call by itself, or as the next one of the sequence that it belongs to. */
async function answer(
  { name, operation, open }: Model,
  { bytes, headerBytes }: { bytes: Uint8Array; headerBytes: number | undefined },
  ticket: Ticket,
  { sequences, limits }: KserveContext,
): Promise<Encoded> {
  const sequence = open === undefined ? null : sequenceOf(bytes, { headerBytes }, limits);
  const inSequence = sequence !== null;
  const inference = { model: name, version: MODEL_VERSION, headerBytes, inSequence };
  const request = { format: kserve.name, bytes, inference, answerFormat: kserve.name };
  if (inSequence) return sequences.append(name, sequence, request, ticket);
  return ticket.call({ ...request, operation, layer: await open?.(ticket.signal) });
}
