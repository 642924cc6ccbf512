import type { Layer } from '../contract/layer.ts';
import { type CallContext, operationNamed } from '../contract/operations.ts';
import type { AttentionOptions } from '../contract/schemas/options.ts';
import type { SessionState } from '../contract/session.ts';
import type { AttentionCall } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import type { Decoded, EncodeOptions, InferenceTarget } from '../wire/format.ts';
import { graft } from '../wire/graft.ts';
import { atPlaces } from '../wire/places.ts';
import { decoderNamed } from '../wire/registry.ts';

/** A body that is a call, and in which format its answer is wanted. Plain data, so that it can be handed to a worker. */
export interface CallRequest {
  /** Name of a row of the operations. */
  readonly operation: string;
  readonly format: string;
  /** On shared memory where the body is not small. */
  readonly bytes: Uint8Array;
  readonly inference?: InferenceTarget | undefined;
  readonly answerFormat: string;
  /** Where a worker may put the tensors that it decodes and the answer that it encodes, as far as they fit. */
  readonly memory?: SharedArrayBuffer | undefined;
  /** The registered layer that the operation calls, if it is one that calls a layer. */
  readonly layer?: Layer | undefined;
  /** The session that the operation appends to, if it is one that does. */
  readonly session?: SessionState | undefined;
}

export interface ReadRequest {
  readonly call: AttentionCall;
  readonly options: EncodeOptions;
  /** Milliseconds from the admission of the request after which its answer is of no use, where the body says so. */
  readonly timeoutMs: number | undefined;
  /** Memory that the decoded tensors take besides the body, in which some formats leave them, and what they were given. */
  readonly tensorBytes: number;
}

/** From bytes to a call: the two steps below. */
export function readRequest(request: CallRequest, context: CallContext): ReadRequest {
  return readDecoded(request, decodeRequest(request, context.limits), context);
}

/** Decodes a body. Throws the Problems of its format, `malformed_body`, `invalid_tensor` and the like. */
export function decodeRequest(request: CallRequest, limits: Limits): Decoded {
  const { fields } = operationNamed(request.operation);
  const decode = decoderNamed(request.format);
  const { inference, layer } = request;
  return decode(request.bytes, { fields, limits, inference, precision: layer?.body.precision });
}

/**
 * Checks the form of a decoded body, whose envelope becomes part of it, and reads it as a call. Throws Problems
 * `invalid_request`, `shape_mismatch`, `invalid_option` and the like.
 */
export function readDecoded(request: CallRequest, decoded: Decoded, context: CallContext): ReadRequest {
  const { envelope, tensors, reply, timeoutMs, places } = decoded;
  const body = graft(envelope, tensors) as AttentionOptions;
  try {
    return {
      call: readBody(request, body, context),
      options: { ...reply, encoding: body.response?.encoding ?? 'nested' },
      timeoutMs,
      tensorBytes: tensorBytes(tensors, request.bytes.buffer, request.memory),
    };
  } catch (error) {
    throw places === undefined ? error : atPlaces(error, places);
  }
}

function readBody(
  { operation: name, layer, session, inference }: CallRequest,
  body: AttentionOptions,
  context: CallContext,
): AttentionCall {
  const operation = operationNamed(name);
  const fault = operation.faultOf(body);
  if (fault !== null) throw fault;
  return operation.read(body, { ...context, layer, session, inSequence: inference?.inSequence });
}

/** Bytes that decoded tensors take besides these buffers, in which they may lie. */
export function tensorBytes(
  tensors: Decoded['tensors'],
  ...booked: readonly (ArrayBufferLike | undefined)[]
): number {
  let bytes = 0;
  for (const { data } of Object.values(tensors)) if (!booked.includes(data.buffer)) bytes += data.byteLength;
  return bytes;
}
