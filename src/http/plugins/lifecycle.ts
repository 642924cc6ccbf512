import type { Server } from 'node:http';
import fp from 'fastify-plugin';

/** How often connections that have become idle are looked for while stopping. */
const IDLE_CHECK_MS = 50;

declare module 'fastify' {
  interface FastifyInstance {
    readonly lifecycle: Lifecycle;
  }
}

/** Whether the service has been told to stop: from then on it is not ready, but finishes what it has accepted. */
export class Lifecycle {
  #stopping = false;

  get stopping(): boolean {
    return this.#stopping;
  }

  stop(): void {
    this.#stopping = true;
  }
}

/**
 * While stopping, every response asks its client to open no further request on this connection; otherwise a kept-alive
 * connection would hold up the close, or lose a request that crosses it.
 */
export const lifecycle = fp(async (app) => {
  app.decorate('lifecycle', new Lifecycle());
  app.addHook('preClose', async () => {
    app.lifecycle.stop();
    closeWhatBecomesIdle(app.server);
  });
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (app.lifecycle.stopping) reply.header('connection', 'close');
    done();
  });
});

/**
 * Node looks for idle connections once, when a server is told to close. One whose answer is out already, while the last
 * bytes of its refused body are still coming, becomes idle later and would hold up the close for as long as it is kept.
 */
function closeWhatBecomesIdle(server: Server): void {
  const timer = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS).unref();
  server.once('close', () => clearInterval(timer));
}
