import type { FastifyReply } from 'fastify';

/**
 * An answer as the bytes that it is, for its handler to return: a handler that returns the reply has Fastify watch the
 * response to its end. They may lie on memory that is shared with the workers, where Fastify does not see that they are
 * bytes and would write them out as numbers.
 */
export function asBytes(reply: FastifyReply, mediaType: string, bytes: Uint8Array): Buffer {
  reply.type(mediaType).serializer(asItIs);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Serializers are typed as if they made text only; Fastify takes bytes. */
const asItIs = (sent: Buffer): string => sent as unknown as string;
