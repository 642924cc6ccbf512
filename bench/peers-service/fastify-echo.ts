import Fastify from 'fastify';

/* Fastify as it comes: what it takes to read a body and to send the same back. PORT is the port. */

const app = Fastify({ bodyLimit: 64 * 1024 * 1024 });
app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => {
  done(null, body);
});
app.get('/health', () => ({}));
app.post('/raw', (request, reply) => reply.type('application/octet-stream').send(request.body));
app.post('/json', (request) => request.body);
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
