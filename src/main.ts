import { lookup } from 'node:dns/promises';
import closeWithGrace from 'close-with-grace';
import { type Logger, pino } from 'pino';
import { type Config, ConfigurationError, readConfig } from './config.ts';
import { Engine } from './engine/engine.ts';
import { defaultThreads } from './engine/threads.ts';
import { nativeUnavailable } from './kernels/native/kernel.ts';
import { KERNELS } from './kernels/registry.ts';
import { openStore, StoreError } from './store/open.ts';

/** Beyond the delay and the longest deadline: time for responses to leave and workers to end. */
const CLOSE_MARGIN_MS = 10_000;

async function start(config: Config): Promise<void> {
  const logger = pino({
    level: config.logLevel,
    redact: ['req.headers.authorization', 'headers.authorization'],
  });
  if (nativeUnavailable !== null) {
    logger.warn({ reason: nativeUnavailable }, 'The native kernels cannot be used; slower ones compute.');
  }
  const { limits, kernel, shutdownDelayMs } = config;
  const engine = new Engine({ threads: config.threads ?? defaultThreads(), limits, kernel, logger });
  const { store: kind, dataDir, redisUrl } = config;
  const store = await openStore({ kind, dataDir, redisUrl, logger });
  // Loaded only now, so that the threads load their modules meanwhile.
  const { buildApp } = await import('./app.ts');
  const app = await buildApp({ config, engine, store, logger });
  await engine.ready();

  closeWithGrace(
    { delay: shutdownDelayMs + limits.deadlineMs + CLOSE_MARGIN_MS, logger },
    async ({ signal, err }) => {
      if (err !== undefined) logger.fatal({ err }, 'The service met an error that it cannot go on after.');
      logger.info({ signal, delay_ms: shutdownDelayMs }, 'stopping');
      app.lifecycle.stop();
      if (err === undefined) await new Promise((resolve) => setTimeout(resolve, shutdownDelayMs));
      await app.close();
      await engine.close();
      await store.close();
      logger.info('stopped');
    },
  );

  await app.listen({ host: await addressOf(config.host), port: config.port });
  announce(app.listeningOrigin, logger);
}

/**
 * Of "localhost" its first address: Fastify would open a server of its own for each further one, whose connections
 * nothing looks after.
 */
async function addressOf(host: string): Promise<string> {
  return host === 'localhost' ? (await lookup(host, { order: 'ipv4first' })).address : host;
}

/** Says where everything is: for people on standard output, for programs in the log. */
function announce(origin: string, logger: Logger): void {
  const url = origin.replace('//0.0.0.0:', '//localhost:').replace('//[::]:', '//localhost:');
  logger.info({ url, api: `${url}/v1`, docs: `${url}/docs`, openapi: `${url}/openapi.json` }, 'listening');
  if (!logger.isLevelEnabled('info')) return;
  process.stdout.write(
    [
      '',
      `  Attention API   ${url}`,
      `  Documentation   ${url}/docs`,
      `  OpenAPI         ${url}/openapi.json`,
      `  First call      curl ${url}/v1/scaled-dot-product-attention --json '{"query": [[1, 2]], "key": [[1, 0], [0, 2]], "value": [[4], [10]]}'`,
      '',
      '',
    ].join('\n'),
  );
}

/** Ends with one line for what whoever starts the service can put right, and with everything known otherwise. */
function refuseToStart(error: NodeJS.ErrnoException): never {
  const known: Record<string, string> = {
    EADDRINUSE: 'PORT: expected a port that is free; another process listens there already.',
    EACCES: 'PORT: expected a port that this user may open.',
    EADDRNOTAVAIL: 'HOST: expected an address of this machine.',
    ENOTFOUND: 'HOST: expected an address of this machine.',
  };
  const isSaid = error instanceof ConfigurationError || error instanceof StoreError;
  const line = isSaid ? error.message : known[error.code ?? ''];
  process.stderr.write(`attention-api cannot start. ${line ?? error.stack}\n`);
  process.exit(1);
}

const kernelNames = KERNELS.map(({ name }) => name);
try {
  await start(readConfig(process.env, kernelNames));
} catch (error) {
  refuseToStart(error as NodeJS.ErrnoException);
}
