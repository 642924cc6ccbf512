import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError } from 'fastify';
import { Problem } from '../domain/problem.ts';
import { PROBLEM_MEDIA_TYPE, problemBody } from './problem-details.ts';

/**
 * Answers what Node's HTTP parser refuses before there is a request: broken syntax, too large headers, a request
 * that arrives too slowly. There is no reply object yet, so the response is written by hand.
 */
export function answerClientError(error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable || socket.bytesWritten > 0) {
    // A response may be under way on this connection; a second one would be read as part of it.
    socket.destroy();
    return;
  }
  const problem = problemOf(error);
  const requestId = randomUUID();
  const body = JSON.stringify(problemBody(problem, '', requestId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${PROBLEM_MEDIA_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function problemOf(error: ConnectionError): Problem {
  switch (error.code as string) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers_too_large', 'The request line and headers together may have 16 KiB.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('request_timeout', 'The headers or the body did not arrive in time.');
    default:
      return new Problem('malformed_request', 'The request cannot be parsed as HTTP/1.1.');
  }
}
