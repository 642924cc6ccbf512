import { maxHeaderSize } from 'node:http';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import packageJson from '../package.json' with { type: 'json' };
import type { Config } from './config.ts';
import { NAMED_SCHEMAS } from './contract/schemas/index.ts';
import type { Engine } from './engine/engine.ts';
import { answerClientError } from './http/client-errors.ts';
import type { ConnectionTimes } from './http/connections.ts';
import { compression } from './http/plugins/compression.ts';
import { documentation } from './http/plugins/documentation.ts';
import { leaveTogether } from './http/plugins/leave-together.ts';
import { lifecycle } from './http/plugins/lifecycle.ts';
import { problems, refuseUnroutable } from './http/plugins/problems.ts';
import { requestHead } from './http/plugins/request-head.ts';
import { childLoggerFactory, requestIdentity, requestIdOf } from './http/plugins/request-identity.ts';
import { requestLog } from './http/plugins/request-log.ts';
import { requestMetrics } from './http/plugins/request-metrics.ts';
import { securityHeaders } from './http/plugins/security-headers.ts';
import { targetOf } from './http/request-target.ts';
import { computeRoutes } from './http/routes/compute.ts';
import { healthRoutes } from './http/routes/health.ts';
import { infoRoutes } from './http/routes/info.ts';
import { kserveRoutes } from './http/routes/kserve.ts';
import { layerRoutes } from './http/routes/layers/routes.ts';
import { metricsRoutes } from './http/routes/metrics.ts';
import { pageRoutes } from './http/routes/pages.ts';
import { sessionRoutes } from './http/routes/sessions/routes.ts';
import { createValidatorCompiler } from './http/validation/compiler.ts';
import { Layers } from './service/layers.ts';
import { Models } from './service/models.ts';
import { Sessions } from './service/sessions/sessions.ts';
import type { LayerStore } from './store/store.ts';

export interface AppOptions {
  readonly config: Pick<Config, 'limits' | 'trustProxy'>;
  readonly engine: Engine;
  readonly store: LayerStore;
  readonly logger?: FastifyBaseLogger | undefined;
  /** Where they are not the usual ones. */
  readonly connectionTimes?: Partial<ConnectionTimes> | undefined;
}

const SECOND = 1000;

/** The HTTP service around an engine and a store. It does not listen yet, and leaves both open when it closes. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { config, engine, store, logger, connectionTimes } = options;
  const { limits, trustProxy } = config;
  const { name, version } = packageJson;
  const app = Fastify({
    ...(logger === undefined ? {} : { loggerInstance: logger }),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    requestIdHeader: false,
    genReqId: requestIdOf,
    rewriteUrl: targetOf,
    // A route says itself what is wrong with a name, and none is longer than what the parser takes as headers.
    routerOptions: { maxParamLength: maxHeaderSize },
    childLoggerFactory,
    trustProxy: trustProxy.length === 0 ? false : [...trustProxy],
    bodyLimit: limits.bodyBytes,
    requestTimeout: 30 * SECOND,
    // Longer than gateways keep their side of an idle connection (60 s), or a request could cross its closing.
    keepAliveTimeout: 72 * SECOND,
    http: { headersTimeout: 10 * SECOND, connectionsCheckingInterval: SECOND, requireHostHeader: false },
    // What comes on a connection while the service stops has been accepted, and is answered.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: refuseUnroutable,
    // The compilers are set below; without these, Fastify would have loaded its own before that.
    schemaController: { compilersFactory: { buildValidator: neverAsked, buildSerializer: neverAsked } },
  });
  // No operation reads a body of DELETE, which means nothing (RFC 9110, section 9.3.5), whatever type it is said to be of.
  app.addHttpMethod('DELETE', { hasBody: false, overrideExisting: true });
  app.setValidatorCompiler(createValidatorCompiler());
  app.setSerializerCompiler(() => JSON.stringify);
  for (const schema of NAMED_SCHEMAS) app.addSchema(schema);

  await app.register(leaveTogether);
  await app.register(requestIdentity);
  await app.register(requestLog);
  await app.register(requestMetrics);
  await app.register(securityHeaders);
  await app.register(lifecycle, { times: connectionTimes });
  await app.register(problems);
  await app.register(requestHead);
  await app.register(compression);
  await app.register(documentation, { version });
  await app.register(computeRoutes, { engine, limits });
  const layers = new Layers(store, engine, limits);
  await app.register(layerRoutes, { engine, limits, layers });
  const sessions = new Sessions(layers, limits);
  app.addHook('onClose', async () => sessions.close());
  await app.register(sessionRoutes, { engine, limits, sessions });
  await app.register(kserveRoutes, {
    engine,
    limits,
    identity: { name, version },
    models: new Models(layers),
    sessions,
  });
  await app.register(healthRoutes, { engine });
  await app.register(infoRoutes, { identity: { name, version }, engine, layers, sessions, limits });
  await app.register(metricsRoutes, { engine, layers, sessions });
  await app.register(pageRoutes, { version });
  await app.ready();
  return app;
}

function neverAsked(): never {
  throw new TypeError('The service has compilers of schemas.');
}
