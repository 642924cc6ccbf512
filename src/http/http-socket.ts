import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/*
 * What Node's HTTP server knows of a connection. It says so in no public way; its own closing of idle connections reads
 * the same fields.
 */

interface HttpSocket extends Socket {
  readonly _httpMessage?: ServerResponse | null;
  readonly parser?: { readonly incoming: IncomingMessage | null } | null;
  readonly _handle?: { readonly writeQueueSize: number } | null;
}

/**
 * The response that is under way on a connection: from the head of its request until the kernel has its last byte. Null
 * between requests. Those of pipelined requests follow one after the other.
 */
export function responseOn(socket: Socket): ServerResponse | null {
  return (socket as HttpSocket)._httpMessage ?? null;
}

/** The request on a connection whose head is here and whose body is not, or not all of it; null where there is none. */
export function unfinishedRequestOn(socket: Socket): IncomingMessage | null {
  const incoming = (socket as HttpSocket).parser?.incoming ?? null;
  return incoming === null || incoming.complete ? null : incoming;
}

/** Bytes that were written to a connection and that the kernel has no room for yet. */
export function unsentBytes(socket: Socket): number {
  return (socket as HttpSocket)._handle?.writeQueueSize ?? 0;
}
