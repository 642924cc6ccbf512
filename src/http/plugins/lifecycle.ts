import fp from 'fastify-plugin';
import { CONNECTION_TIMES, Connections, type ConnectionTimes } from '../connections.ts';

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

export interface LifecycleOptions {
  readonly times?: Partial<ConnectionTimes> | undefined;
}

/**
 * While stopping, every response asks its client to open no further request on this connection; otherwise a kept-alive
 * connection would hold up the close, or lose a request that crosses it.
 */
export const lifecycle = fp<LifecycleOptions>(async (app, { times }) => {
  app.decorate('lifecycle', new Lifecycle());
  const connections = new Connections(app.server, { ...CONNECTION_TIMES, ...times }, ({ remoteAddress }) => {
    app.log.info({ remote_address: remoteAddress }, 'client does not read its answer');
  });
  app.addHook('preClose', async () => {
    app.lifecycle.stop();
    connections.startClosing();
  });
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (app.lifecycle.stopping) reply.header('connection', 'close');
    done();
  });
});
