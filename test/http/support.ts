import type { Server } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { type Dispatcher, request } from 'undici';
import { buildApp } from '../../src/app.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/domain/limits.ts';
import { Engine, type EngineStats } from '../../src/engine/engine.ts';
import type { ConnectionTimes } from '../../src/http/connections.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { LayerStore } from '../../src/store/store.ts';

export const SDPA = '/v1/scaled-dot-product-attention';
export const MHA = '/v1/multi-head-attention';

/** One query that scores 1 and 4 with two keys. */
export const SMALL = {
  query: [[1, 2]],
  key: [
    [1, 0],
    [0, 2],
  ],
  value: [[4], [10]],
  scale: 1,
};

/** Rows and width of the tensors of `LONG`. */
export const LONG_ROWS = 4096;
export const LONG_WIDTH = 64;

/** Seconds of float64 arithmetic on one worker. */
export const LONG = {
  query: filled(LONG_ROWS, LONG_WIDTH),
  key: filled(LONG_ROWS, LONG_WIDTH),
  value: filled(LONG_ROWS, LONG_WIDTH),
  precision: 'float64',
};

/** A tensor of halves as bytes, which is no work to decode. */
export function filled(...shape: number[]): object {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = Buffer.from(new Float32Array(count).fill(0.5).buffer).toString('base64');
  return { dtype: 'float32', shape, data };
}

export interface ServiceOptions {
  readonly threads?: number;
  readonly limits?: Partial<Limits>;
  readonly logger?: FastifyBaseLogger;
  readonly trustProxy?: readonly string[];
  readonly store?: LayerStore;
  readonly connectionTimes?: Partial<ConnectionTimes>;
}

/** The service in this process, listening on a free port; `close` waits for every response. */
export interface TestService {
  readonly url: string;
  readonly engine: Engine;
  readonly server: Server;
  close(): Promise<void>;
}

export async function listen({
  threads = 1,
  limits = {},
  logger,
  trustProxy = [],
  store = new MemoryStore(),
  connectionTimes,
}: ServiceOptions = {}): Promise<TestService> {
  const config = { limits: { ...DEFAULT_LIMITS, ...limits }, trustProxy };
  const engine = new Engine({ threads, limits: config.limits });
  await engine.ready();
  const app = await buildApp({ config, engine, store, logger, connectionTimes });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    engine,
    server: app.server,
    close: async () => {
      await app.close();
      await engine.close();
    },
  };
}

export interface Reply {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: tests read the answer as its users do, untyped.
  readonly json: any;
  readonly text: string;
}

export interface Sending {
  readonly method?: Dispatcher.HttpMethod;
  readonly headers?: Record<string, string>;
  readonly body?: Dispatcher.DispatchOptions['body'];
  readonly signal?: AbortSignal;
}

/** Sends one request and reads all of its response. */
export async function send(
  url: string,
  { method = 'GET', headers, body, signal }: Sending = {},
): Promise<Reply> {
  const response = await request(url, {
    method,
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  });
  const text = await response.body.text();
  const isJson = /json$/.test(String(response.headers['content-type']).split(';')[0]);
  return {
    status: response.statusCode,
    headers: response.headers,
    text,
    json: isJson && text !== '' ? JSON.parse(text) : undefined,
  };
}

/** Posts JSON: an object, or a text as it stands. */
export function post(
  url: string,
  body: object | string,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Reply> {
  return send(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Waits, one turn of the event loop after the other, until the engine is in some state. */
export async function engineReaches(engine: Engine, reached: (stats: EngineStats) => boolean): Promise<void> {
  while (!reached(engine.stats())) await setImmediate();
}
