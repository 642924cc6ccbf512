import type { IncomingMessage } from 'node:http';
import fp from 'fastify-plugin';
import { Problem } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';

/** The expectation that there is, as Node looks for it; it has met it before a request comes here. */
const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i;

/**
 * Refuses what RFC 9110 has a server refuse in the head of an HTTP/1.1 request. Node would do so too, but outside of all
 * hooks: with no body, and uncounted.
 */
export const requestHead = fp(async (app) => {
  app.server.on('checkExpectation', app.routing);
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    const { host, expect } = raw.headers;
    if (host !== undefined && expect === undefined) done();
    else done(faultIn(raw));
  });
});

function faultIn({ httpVersion, headers: { host, expect } }: IncomingMessage): Problem | undefined {
  // HTTP/1.0 knows neither.
  if (httpVersion !== '1.1') return undefined;
  if (host === undefined) {
    return new Problem('malformed_request', 'Host: expected the name of the service; the header is missing.');
  }
  if (expect === undefined || CONTINUE.test(expect)) return undefined;
  const got = quoted(expect);
  return new Problem('expectation_failed', `Expect: expected "100-continue", or no such header; got ${got}.`);
}
