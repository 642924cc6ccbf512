import { randomUUID } from 'node:crypto';
import { type IncomingMessage, METHODS, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyInstance } from 'fastify';
import { Problem } from '../domain/problem.ts';
import { responseOn, unfinishedRequestOn } from './http-socket.ts';
import { INFERENCE_JSON, inferenceError, isInferencePath } from './kserve-reply.ts';
import { requestIdOf } from './plugins/request-identity.ts';
import { pathOf } from './plugins/request-log.ts';
import { PROBLEM_MEDIA_TYPE, problemBody } from './problem-details.ts';

/** The code with which Node ends a request that takes too long to arrive. */
export const REQUEST_TIMEOUT = 'ERR_HTTP_REQUEST_TIMEOUT';

/** Bytes of a request line and headers, by default of Node. */
const LONGEST_HEAD = 16 * 1024;

/**
 * How long what still comes on a refused connection is dropped. To close it on unread bytes would reset it, and take the
 * answer with it (RFC 9112, section 9.6).
 */
const LINGER_MS = 1000;

/** Connections that are refused, or will be; the parser complains again of whatever else comes on them. */
const refused = new WeakSet<Socket>();

/**
 * For Fastify's `clientErrorHandler`: answers what Node's HTTP parser refuses before there is a request, or in the middle
 * of its body: broken syntax, too large headers, a request that arrives too slowly. No reply will do for that, so the
 * response is written by hand, when those that are under way are out. It is the last of its connection.
 */
export function answerClientError(this: FastifyInstance, error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || refused.has(socket)) return;
  refused.add(socket);
  answerInTurn(this, error, socket, socket.bytesRead);
}

/** `received` is how many bytes had come when the error was found. */
function answerInTurn(app: FastifyInstance, error: ConnectionError, socket: Socket, received: number): void {
  const response = responseOn(socket);
  if (response !== null && (response.headersSent || response.req.complete)) {
    response.once('close', () => answerInTurn(app, error, socket, received));
    return;
  }
  const isTimeout = (error.code as string) === REQUEST_TIMEOUT;
  const isAnswered = response === null && unfinishedRequestOn(socket) !== null;
  const hasCome = isTimeout && socket.bytesRead > received;
  if (isAnswered || hasCome || !socket.writable) {
    close(socket);
    return;
  }
  const problem = problemOf(error);
  const request = response === null ? requestLineOf(error) : lineOf(response.req);
  const requestId = response === null ? randomUUID() : requestIdOf(response.req);
  close(socket, answerOf(problem, request?.path ?? '', requestId));
  // What comes of a request after this is not to be carried out any more.
  if (isTimeout) socket.once('finish', () => socket.destroy());
  record(app, problem, request, { requestId, remoteAddress: socket.remoteAddress });
}

/** Logs and counts a refusal, as hooks do for the others. */
function record(
  app: FastifyInstance,
  { code, message: detail, status }: Problem,
  request: RequestLine | undefined,
  { requestId, remoteAddress }: { readonly requestId: string; readonly remoteAddress: string | undefined },
): void {
  const method = request?.method;
  // Whatever else a client names would be a label of its own.
  app.countUnrouted(method !== undefined && METHODS.includes(method) ? method : undefined, status);
  const log = app.log.child({ request_id: requestId });
  log.info({ code, detail }, 'request refused');
  log.info({ ...request, status, remote_address: remoteAddress }, 'request');
}

/** Closes a connection in stages: the client is told at once, and has time to read that. */
function close(socket: Socket, last?: string): void {
  if (last === undefined) socket.end();
  else socket.end(last);
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

function problemOf(error: ConnectionError): Problem {
  switch (error.code as string) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers_too_large', 'The request line and headers together may have 16 KiB.');
    case REQUEST_TIMEOUT:
      return new Problem('request_timeout', 'The headers or the body did not arrive in time.');
    default:
      return new Problem('malformed_request', 'The request cannot be parsed as HTTP/1.1.');
  }
}

interface RequestLine {
  readonly method: string;
  readonly path: string;
}

function lineOf({ method = '', url = '' }: IncomingMessage): RequestLine {
  return { method, path: pathOf(url) };
}

/** What a refused head begins with, where that is among the bytes that the parser refused. */
function requestLineOf(error: ConnectionError): RequestLine | undefined {
  // Fastify says what it looks like in a log.
  const rawPacket = error.rawPacket as unknown as Buffer | undefined;
  if (rawPacket === undefined) return undefined;
  // Requests that came before may lie in the same packet; their heads end with an empty line.
  const start = rawPacket.subarray(0, error.bytesParsed).lastIndexOf('\r\n\r\n') + 1;
  const head = rawPacket.toString('latin1', start, start + LONGEST_HEAD);
  const [, method, url] = /^\s*([A-Z-]+) (\/\S*)/.exec(head) ?? [];
  return method === undefined ? undefined : { method, path: pathOf(url) };
}

function answerOf(problem: Problem, path: string, requestId: string): string {
  const isInference = isInferencePath(path);
  const body = JSON.stringify(isInference ? inferenceError(problem) : problemBody(problem, path, requestId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${isInference ? INFERENCE_JSON : PROBLEM_MEDIA_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
