import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Limits } from '../../domain/limits.ts';
import type { Engine, Ticket } from '../../engine/engine.ts';
import { announcedLength, type BodyBudget, readBody } from '../body.ts';
import { readContentEncoding, readDecompressed } from '../content-encoding.ts';
import { readDeadline } from '../deadline.ts';
import { releaseAtEnd } from '../release-at-end.ts';
import { serverTiming } from '../server-timing.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether nothing of the body is kept when the response is out, so that its memory may be used again. */
    transientBody?: boolean;
    /** Where in a body, plain, its tensors begin: to lie at a multiple of `ALIGNMENT`, so that they need no copy. */
    tensorsBegin?: (request: FastifyRequest) => number | undefined;
  }
  interface FastifyRequest {
    /** The place in the engine, from before the body is read until the response is out; null on other routes. */
    ticket: Ticket | null;
  }
}

export interface IntakeOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  /** Types of the bodies that are read. */
  readonly mediaTypes: readonly string[];
}

/** Bytes of the widest elements. */
const ALIGNMENT = 8;

/**
 * How a body comes in, for every route of the scope that this is registered in: a place in the engine is taken, the body
 * is read into shared memory, and the place is given back, exactly once, when the response is out or the client gone. To
 * a handler the body is its bytes.
 */
export const intake = fp<IntakeOptions>(async (scope, { engine, limits, mediaTypes }) => {
  scope.decorateRequest('ticket', null);

  scope.addHook('preParsing', (request, reply, _payload, done) => {
    const length = announcedLength(request.headers['content-length'], limits.bodyBytes);
    const deadlineMs = readDeadline(request.headers['x-deadline-ms']);
    const ticket = engine.admit(length ?? 0, { deadlineMs, caller: request.raw.socket });
    request.ticket = ticket;
    // Not request.signal: that aborts on every POST as soon as its body has been read.
    releaseAtEnd(reply.raw, ticket);
    done(ticket.signal.aborted ? ticket.signal.reason : null);
  });

  scope.removeAllContentTypeParsers();
  for (const mediaType of mediaTypes) {
    scope.addContentTypeParser(mediaType, async (request: FastifyRequest, stream: IncomingMessage) => {
      const ticket = ticketOf(request);
      const length = announcedLength(request.headers['content-length'], limits.bodyBytes);
      const coding = readContentEncoding(request.headers['content-encoding']);
      const { transientBody, tensorsBegin } = request.routeOptions.config;
      const lead = -(tensorsBegin?.(request) ?? 0) & (ALIGNMENT - 1);
      const take = transientBody
        ? (bytes: number, booked: number) => ticket.takeBody(bytes, booked)
        : (bytes: number, booked: number) => {
            ticket.reserve(bytes - booked);
            return new Uint8Array(new SharedArrayBuffer(bytes));
          };
      const budget: BodyBudget = {
        limit: limits.bodyBytes,
        memoryOf: (bytes, booked) => take(bytes + lead, booked).subarray(lead),
        signal: ticket.signal,
        coding,
      };
      return readDecompressed(stream, coding, budget, (plain) =>
        readBody(plain, coding === null ? length : undefined, budget),
      );
    });
  }

  scope.addHook('onSend', (request, reply, _payload, done) => {
    // Fastify closes the connection after an unread body; readBody has taken care of that. Who asked for a close is told.
    const isKept = reply.raw.shouldKeepAlive && !scope.lifecycle.stopping;
    if (isKept && reply.hasHeader('connection')) reply.removeHeader('connection');
    if (request.ticket !== null) reply.header('server-timing', serverTiming(request.ticket.timings));
    done();
  });
});

/** The place in the engine of a request whose body has been read. */
export function ticketOf({ ticket }: FastifyRequest): Ticket {
  if (ticket === null) throw new Error('The request has no place in the engine.');
  return ticket;
}
