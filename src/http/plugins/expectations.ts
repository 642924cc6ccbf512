import fp from 'fastify-plugin';

/**
 * Passes over an Expect header that says something else than 100-continue, as RFC 9110, section 10.1.1, allows. Node would
 * answer 417 without a body, in a form that nothing else has here.
 */
export const expectations = fp(async (app) => {
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
});
