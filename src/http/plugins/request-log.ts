import fp from 'fastify-plugin';

/** One line a request, when its response is out. Bodies, queries and credentials are never logged, here or elsewhere. */
export const requestLog = fp(async (app) => {
  app.addHook('onResponse', (request, reply, done) => {
    request.log.info(
      {
        method: request.method,
        path: pathOf(request.url),
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
        request_bytes: Number(request.headers['content-length'] ?? 0),
        response_bytes: Number(reply.getHeader('content-length') ?? 0),
        remote_address: request.ip,
      },
      'request',
    );
    done();
  });
});

export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}
