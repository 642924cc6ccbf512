import type { FastifyInstance } from 'fastify';
import type { Readiness } from '../contract/schemas/info.ts';
import type { Engine } from '../engine/engine.ts';

/** Whether requests should be sent to this instance: not while it stops, nor while no worker is up. */
export function readinessOf(app: FastifyInstance, engine: Engine): Readiness['status'] {
  if (app.lifecycle.stopping) return 'stopping';
  return engine.stats().threadsUp > 0 ? 'ready' : 'starting';
}
