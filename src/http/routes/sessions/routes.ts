import type { FastifyInstance } from 'fastify';
import type { Sessions } from '../../../service/sessions/sessions.ts';
import { type ComputeOptions, compute } from '../../plugins/compute.ts';
import { addAppend } from './append.ts';
import { addBeginSession } from './begin-session.ts';
import { addSessionResource } from './session-resource.ts';

export interface SessionRoutesOptions extends ComputeOptions {
  readonly sessions: Sessions;
}

/** Everything about sessions. */
export async function sessionRoutes(scope: FastifyInstance, options: SessionRoutesOptions): Promise<void> {
  const { sessions } = options;
  addSessionResource(scope, sessions);
  await scope.register(async (bodies) => {
    await bodies.register(compute, options);
    addBeginSession(bodies, sessions);
    addAppend(bodies, sessions);
  });
}
