import fp from 'fastify-plugin';

/** For pages of our own: everything from this origin, nothing inline, nothing framed. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** For responses that are no pages. */
const DATA_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** Headers that keep browsers from guessing types, framing, leaking the address, or running what a response holds. */
export const securityHeaders = fp(async (app) => {
  app.addHook('onSend', (_request, reply, _payload, done) => {
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    reply.header('cross-origin-opener-policy', 'same-origin');
    if (!reply.hasHeader('content-security-policy')) reply.header('content-security-policy', DATA_POLICY);
    done();
  });
});
