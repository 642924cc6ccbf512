import type { FastifyReply } from 'fastify';

/**
 * Sends an answer as the bytes that it is. They may lie on memory that is shared with the workers, where Fastify does not
 * see that they are bytes and would write them out as numbers.
 */
export function sendBytes(reply: FastifyReply, mediaType: string, bytes: Uint8Array): FastifyReply {
  return reply
    .type(mediaType)
    .serializer(asItIs)
    .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/** Serializers are typed as if they made text only; Fastify takes bytes. */
const asItIs = (sent: Buffer): string => sent as unknown as string;
