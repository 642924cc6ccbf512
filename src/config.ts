import { isIP } from 'node:net';
import { type Static, type TObject, Type } from '@sinclair/typebox';
import { Ajv } from 'ajv';
import { TRUSTED_SCHEMAS } from './contract/validation/body-validator.ts';
import { DEFAULT_LIMITS, type Limits } from './domain/limits.ts';
import { STORE_KINDS, type StoreKind } from './store/open.ts';

/** A setting of the environment that cannot be used. Its message is one line and names the variable. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const GIB = 1024 ** 3;

const count = (value: number, maximum: number) => Type.Integer({ minimum: 1, maximum, default: value });

/** Every variable of the environment that the service reads. */
export const EnvironmentSchema = Type.Object({
  HOST: Type.String({ minLength: 1, default: '0.0.0.0' }),
  PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 8080 }),
  LOG_LEVEL: Type.Unsafe<(typeof LOG_LEVELS)[number]>({
    type: 'string',
    enum: [...LOG_LEVELS],
    default: 'info',
  }),
  DATA_DIR: Type.String({ minLength: 1, default: './data' }),
  /** Where registered layers are kept. */
  STORE: Type.Unsafe<StoreKind>({ type: 'string', enum: [...STORE_KINDS], default: STORE_KINDS[0] }),
  REDIS_URL: Type.String({
    pattern: '^rediss?://',
    description: 'a URL that begins with redis:// or rediss://',
    default: 'redis://localhost:6379',
  }),
  /** Worker threads; as many as there are processors for this process where not given. */
  THREADS: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
  /** Name of a kernel that is preferred to all others for the calls that it computes. */
  KERNEL: Type.Optional(Type.String({ minLength: 1 })),
  MAX_BODY_BYTES: count(DEFAULT_LIMITS.bodyBytes, 2 * GIB),
  MAX_ENVELOPE_BYTES: count(DEFAULT_LIMITS.envelopeBytes, 64 * 1024 * 1024),
  MAX_JSON_DEPTH: count(DEFAULT_LIMITS.jsonDepth, 1024),
  MAX_MAP_BYTES: count(DEFAULT_LIMITS.mapBytes, 4 * GIB),
  MAX_REQUEST_BYTES: count(DEFAULT_LIMITS.requestBytes, 1024 * GIB),
  MAX_REQUEST_FLOPS: count(DEFAULT_LIMITS.requestFlops, 1e18),
  MAX_QUEUE_REQUESTS: count(DEFAULT_LIMITS.queueRequests, 1_000_000),
  MAX_QUEUE_BYTES: count(DEFAULT_LIMITS.queueBytes, 1024 * GIB),
  MAX_BATCH_CALLS: count(DEFAULT_LIMITS.batchCalls, 1024),
  MAX_LAYER_BYTES: count(DEFAULT_LIMITS.layerBytes, 1024 * GIB),
  MAX_SESSION_BYTES: count(DEFAULT_LIMITS.sessionBytes, 1024 * GIB),
  MAX_SESSION_TOKENS: count(DEFAULT_LIMITS.sessionTokens, 2 ** 23),
  MAX_SESSION_IDLE_MS: count(DEFAULT_LIMITS.sessionIdleMs, 24 * 3600 * 1000),
  MAX_DEADLINE_MS: count(DEFAULT_LIMITS.deadlineMs, 24 * 3600 * 1000),
  /** How long readiness answers 503 before the port closes, for a gateway to notice. */
  SHUTDOWN_DELAY_MS: Type.Integer({ minimum: 0, maximum: 600_000, default: 0 }),
  /** Addresses or CIDR blocks, separated by commas, whose X-Forwarded-* and X-Session-Id headers are believed. */
  TRUST_PROXY: Type.Optional(Type.String()),
});

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly dataDir: string;
  readonly store: StoreKind;
  readonly redisUrl: string;
  readonly threads: number | undefined;
  readonly kernel: string | undefined;
  readonly limits: Limits;
  readonly shutdownDelayMs: number;
  readonly trustProxy: readonly string[];
}

/**
 * Reads and checks the configuration.
 * @throws {ConfigurationError} naming the first variable with a value that cannot be used.
 */
export function readConfig(environment: NodeJS.ProcessEnv, kernelNames: readonly string[]): Config {
  const env = readEnvironment(EnvironmentSchema, environment);
  if (env.KERNEL !== undefined && !kernelNames.includes(env.KERNEL)) {
    throw refusal('KERNEL', `one of ${kernelNames.join(', ')}`, env.KERNEL);
  }
  return {
    host: env.HOST,
    port: env.PORT,
    logLevel: env.LOG_LEVEL,
    dataDir: env.DATA_DIR,
    store: env.STORE,
    redisUrl: env.REDIS_URL,
    threads: env.THREADS,
    kernel: env.KERNEL,
    limits: {
      bodyBytes: env.MAX_BODY_BYTES,
      envelopeBytes: env.MAX_ENVELOPE_BYTES,
      jsonDepth: env.MAX_JSON_DEPTH,
      mapBytes: env.MAX_MAP_BYTES,
      requestBytes: env.MAX_REQUEST_BYTES,
      requestFlops: env.MAX_REQUEST_FLOPS,
      queueRequests: env.MAX_QUEUE_REQUESTS,
      queueBytes: env.MAX_QUEUE_BYTES,
      batchCalls: env.MAX_BATCH_CALLS,
      layerBytes: env.MAX_LAYER_BYTES,
      sessionBytes: env.MAX_SESSION_BYTES,
      sessionTokens: env.MAX_SESSION_TOKENS,
      sessionIdleMs: env.MAX_SESSION_IDLE_MS,
      deadlineMs: env.MAX_DEADLINE_MS,
    },
    shutdownDelayMs: env.SHUTDOWN_DELAY_MS,
    trustProxy: readAddresses('TRUST_PROXY', env.TRUST_PROXY ?? ''),
  };
}

function readEnvironment<Schema extends TObject>(
  schema: Schema,
  environment: NodeJS.ProcessEnv,
): Static<Schema> {
  const ajv = new Ajv({
    coerceTypes: true,
    useDefaults: true,
    removeAdditional: 'all',
    // Otherwise "Infinity" is coerced to a number that no maximum is checked for.
    strictNumbers: false,
    ...TRUSTED_SCHEMAS,
  });
  const validate = ajv.compile<Static<Schema>>(schema);
  const settings: unknown = { ...environment };
  if (validate(settings)) return settings;
  const [{ instancePath }] = validate.errors!;
  const name = instancePath.slice(1);
  throw refusal(name, expectation(schema.properties[name]), environment[name]);
}

function expectation(setting: TObject['properties'][string]): string {
  if (setting.enum !== undefined) return `one of ${setting.enum.join(', ')}`;
  if (setting.type === 'integer' && setting.maximum !== undefined) {
    return `an integer from ${setting.minimum} to ${setting.maximum}`;
  }
  return setting.description ?? 'a text that is not empty';
}

function readAddresses(name: string, list: string): string[] {
  const blocks = list
    .split(',')
    .map((block) => block.trim())
    .filter((block) => block !== '');
  for (const block of blocks) {
    const [address, prefix, ...rest] = block.split('/');
    const family = isIP(address);
    const bits = prefix === undefined ? 0 : Number(prefix);
    const prefixFits = prefix === undefined || (/^\d+$/.test(prefix) && bits <= (family === 4 ? 32 : 128));
    if (family === 0 || !prefixFits || rest.length > 0) {
      throw refusal(name, 'addresses or CIDR blocks such as 10.0.0.0/8, separated by commas', block);
    }
  }
  return blocks;
}

function refusal(name: string, expected: string, got: string | undefined): ConfigurationError {
  return new ConfigurationError(`${name}: expected ${expected}; got ${JSON.stringify(got ?? '')}.`);
}
