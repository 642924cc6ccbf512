import type { FastifyInstance } from 'fastify';
import type { Limits } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Identity } from '../../service/info.ts';
import { Statistics } from '../../service/model-statistics.ts';
import type { Models } from '../../service/models.ts';
import { Sequences } from '../../service/sessions/sequences.ts';
import type { Sessions } from '../../service/sessions/sessions.ts';
import { inferRoutes } from './kserve-infer.ts';
import { modelRoutes } from './kserve-models.ts';
import { repositoryRoutes } from './kserve-repository.ts';
import { serverRoutes } from './kserve-server.ts';

export interface KserveOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly identity: Identity;
  readonly models: Models;
  readonly sessions: Sessions;
}

/** What every group of these routes shares. */
export interface KserveContext extends KserveOptions {
  readonly statistics: Statistics;
  readonly sequences: Sequences;
}

/** The Open Inference Protocol, version 2, over REST, as KServe and Triton speak it. */
export async function kserveRoutes(app: FastifyInstance, options: KserveOptions): Promise<void> {
  const sequences = new Sequences(options.sessions);
  const context: KserveContext = { ...options, statistics: new Statistics(), sequences };
  await app.register(serverRoutes, context);
  await app.register(modelRoutes, context);
  await app.register(repositoryRoutes, context);
  await app.register(inferRoutes, context);
}
