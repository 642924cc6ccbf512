import { describe, expect, it } from 'vitest';
import { ConfigurationError, readConfig } from '../src/config.ts';
import { DEFAULT_LIMITS } from '../src/domain/limits.ts';

const KERNELS = ['portable', 'native'];

describe('the configuration', () => {
  it('needs nothing, and leaves what it reads from as it was', () => {
    const environment = Object.freeze({ PATH: '/bin', HOME: '/root' });
    expect(readConfig(environment, KERNELS)).toEqual({
      host: '0.0.0.0',
      port: 8080,
      logLevel: 'info',
      dataDir: './data',
      store: 'fs',
      redisUrl: 'redis://localhost:6379',
      threads: undefined,
      kernel: undefined,
      limits: DEFAULT_LIMITS,
      shutdownDelayMs: 0,
      trustProxy: [],
    });
  });

  it('is read from the environment', () => {
    const config = readConfig(
      {
        HOST: '::1',
        PORT: '0',
        LOG_LEVEL: 'debug',
        DATA_DIR: '/data',
        THREADS: '3',
        KERNEL: 'native',
        MAX_BODY_BYTES: '1',
        MAX_ENVELOPE_BYTES: '2',
        MAX_JSON_DEPTH: '3',
        MAX_MAP_BYTES: '4',
        MAX_REQUEST_BYTES: '5',
        MAX_REQUEST_FLOPS: '6e9',
        MAX_QUEUE_REQUESTS: '7',
        MAX_QUEUE_BYTES: '8',
        MAX_BATCH_CALLS: '14',
        MAX_LAYER_BYTES: '10',
        MAX_SESSION_BYTES: '11',
        MAX_SESSION_TOKENS: '12',
        MAX_SESSION_IDLE_MS: '13',
        STORE: 'memory',
        REDIS_URL: 'rediss://user:secret@redis:6380/1',
        MAX_DEADLINE_MS: '9',
        SHUTDOWN_DELAY_MS: '10',
        TRUST_PROXY: '10.0.0.0/8, fd00::/8 ,127.0.0.1',
      },
      KERNELS,
    );
    expect(config).toEqual({
      host: '::1',
      port: 0,
      logLevel: 'debug',
      dataDir: '/data',
      store: 'memory',
      redisUrl: 'rediss://user:secret@redis:6380/1',
      threads: 3,
      kernel: 'native',
      limits: {
        bodyBytes: 1,
        envelopeBytes: 2,
        jsonDepth: 3,
        mapBytes: 4,
        requestBytes: 5,
        requestFlops: 6e9,
        queueRequests: 7,
        queueBytes: 8,
        batchCalls: 14,
        layerBytes: 10,
        sessionBytes: 11,
        sessionTokens: 12,
        sessionIdleMs: 13,
        deadlineMs: 9,
      },
      shutdownDelayMs: 10,
      trustProxy: ['10.0.0.0/8', 'fd00::/8', '127.0.0.1'],
    });
  });

  it.each([
    ['PORT', '70000', 'expected an integer from 0 to 65535; got "70000".'],
    ['PORT', 'Infinity', 'expected an integer from 0 to 65535; got "Infinity".'],
    ['PORT', '', 'expected an integer from 0 to 65535; got "".'],
    ['HOST', '', 'expected a text that is not empty; got "".'],
    ['REDIS_URL', 'http://x', 'expected a URL that begins with redis:// or rediss://; got "http://x".'],
    ['LOG_LEVEL', 'loud', 'expected one of fatal, error, warn, info, debug, trace, silent; got "loud".'],
    ['THREADS', '0', 'expected an integer from 1 to 1024; got "0".'],
    ['KERNEL', 'cuda', 'expected one of portable, native; got "cuda".'],
    ['MAX_BODY_BYTES', '1.5', 'expected an integer from 1 to 2147483648; got "1.5".'],
    ['MAX_REQUEST_FLOPS', '-1', 'expected an integer from 1 to 1000000000000000000; got "-1".'],
    ['MAX_REQUEST_FLOPS', 'Infinity', 'expected an integer from 1 to 1000000000000000000; got "Infinity".'],
    ['SHUTDOWN_DELAY_MS', '-1', 'expected an integer from 0 to 600000; got "-1".'],
    ...['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'everyone'].map((block) => [
      'TRUST_PROXY',
      block,
      `expected addresses or CIDR blocks such as 10.0.0.0/8, separated by commas; got "${block}".`,
    ]),
  ])('refuses %s=%s', (name, value, message) => {
    const read = () => readConfig({ [name]: value }, KERNELS);
    expect(read).toThrow(ConfigurationError);
    expect(read).toThrow(`${name}: ${message}`);
  });
});
