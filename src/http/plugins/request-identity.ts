import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyServerOptions } from 'fastify';
import fp from 'fastify-plugin';
import { REQUEST_ID } from '../../domain/request-id.ts';

/** W3C Trace Context: version, trace id, parent id, flags; all-zero ids and version ff are invalid. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The caller's X-Request-Id where it is safe to log and to echo, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

function traceparentOf(request: IncomingMessage): { header: string; traceId: string } | undefined {
  const header = request.headers.traceparent;
  const match = typeof header === 'string' ? TRACEPARENT.exec(header) : null;
  return match === null ? undefined : { header: match[0], traceId: match[1] };
}

/** Every log line of a request carries its id, and its trace where the caller names one. */
export const childLoggerFactory: NonNullable<FastifyServerOptions['childLoggerFactory']> = (
  logger,
  bindings,
  options,
  request,
) => {
  const trace = traceparentOf(request);
  return logger.child(trace === undefined ? bindings : { ...bindings, trace_id: trace.traceId }, options);
};

/** Echoes X-Request-Id and traceparent on every response. */
export const requestIdentity = fp(async (app) => {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    const trace = traceparentOf(request.raw);
    if (trace !== undefined) reply.header('traceparent', trace.header);
    done();
  });
});
