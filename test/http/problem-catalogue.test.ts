import { mkdtempSync, rmSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemBody } from '../../src/contract/schemas/problem.ts';
import { PROBLEM_CODES, type ProblemCode } from '../../src/domain/problem.ts';
import { PROBLEM_EXPLANATIONS } from '../../src/http/openapi/problem-catalogue.ts';
import { FileStore } from '../../src/store/fs/store.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { pack } from '../support/safetensors.ts';
import {
  engineReaches,
  LONG,
  listen,
  MHA,
  post,
  SDPA,
  type ServiceOptions,
  SMALL,
  send,
  type TestService,
} from './support.ts';

const LAYER = '/v1/layers/encoder.layer.0';
const PROJECTIONS = { w_q: [[1]], w_k: [[1]], w_v: [[1]] };

type Provoke = (service: TestService) => Promise<ProblemBody>;
/** `options` of a service of its own, or null where the shared one will do. */
type Provocation = readonly [code: ProblemCode, options: ServiceOptions | null, provoke: Provoke];

const calling =
  (path: string, body: object | string, headers: Record<string, string> = {}): Provoke =>
  async ({ url }) =>
    (await post(url + path, body, headers)).json;
const putting = async ({ url }: TestService, headers: Record<string, string> = {}) => {
  const body = JSON.stringify({ heads: 1, projections: PROJECTIONS });
  const sent = { 'content-type': 'application/json', ...headers };
  return (await send(url + LAYER, { method: 'PUT', headers: sent, body })).json;
};
const begin = async (service: TestService) => {
  await putting(service);
  const { json } = await post(`${service.url}/v1/sessions`, { layer: 'encoder.layer.0' });
  return `/v1/sessions/${json.session_id}`;
};
/** What the service answers to bytes on a connection. */
const writing =
  (bytes: string): Provoke =>
  async ({ url }) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(bytes);
    const answer = await text(socket);
    return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')));
  };
const failing = (methods: Partial<MemoryStore>): ServiceOptions => ({
  store: Object.assign(new MemoryStore(), methods),
});

const folder = mkdtempSync(join(tmpdir(), 'catalogue-'));
afterAll(() => rmSync(folder, { recursive: true }));
/** A store on a file system that fails once the store is open. */
const failingFiles = async (code: string): Promise<ServiceOptions> => {
  const files = { ...fs } as typeof fs;
  const logger = { error: () => {}, warn: () => {} };
  const store = await FileStore.open({ folder, logger, files });
  const fail = () => Promise.reject(Object.assign(new Error(code), { code }));
  Object.assign(files, { open: fail, readdir: fail });
  return { store };
};

const PROVOCATIONS: readonly Provocation[] = [
  ['malformed_request', null, writing('HELLO\r\n\r\n')],
  [
    'expectation_failed',
    null,
    writing('GET /v1/info HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n'),
  ],
  ['malformed_body', null, calling(SDPA, '{"query": [[1, 2]], "scale": }')],
  ['invalid_request', null, calling(SDPA, { ...SMALL, scal: 1 })],
  ['invalid_header', null, calling(SDPA, SMALL, { 'x-deadline-ms': 'soon' })],
  ['not_found', null, calling('/v1/attention', SMALL)],
  ['method_not_allowed', null, async ({ url }) => (await send(url + MHA)).json],
  ['not_acceptable', null, calling(SDPA, SMALL, { accept: 'text/csv' })],
  ['conflict', failing({ replace: async () => false }), (service) => putting(service)],
  [
    'position_conflict',
    null,
    async (service) => {
      const session = await begin(service);
      return calling(`${session}/append`, { embeddings: [[1]], expected_position: 8 })(service);
    },
  ],
  [
    'session_lost',
    null,
    async (service) => {
      const session = service.url + (await begin(service));
      await send(session, { method: 'DELETE' });
      return (await send(session)).json;
    },
  ],
  [
    'precondition_failed',
    null,
    async (service) => {
      await putting(service);
      return putting(service, { 'if-none-match': '*' });
    },
  ],
  ['body_too_large', { limits: { bodyBytes: 100 } }, calling(SDPA, ' '.repeat(101))],
  ['unsupported_media_type', null, calling(SDPA, SMALL, { 'content-type': 'text/csv' })],
  ['invalid_tensor', null, calling(SDPA, { ...SMALL, query: [[1, 2], [3]] })],
  ['shape_mismatch', null, calling(SDPA, { ...SMALL, value: [[4]] })],
  [
    'mapping_mismatch',
    null,
    async ({ url }) => {
      const file = pack({ wq: { dtype: 'F32', shape: [1, 1], bytes: new Uint8Array(4) } });
      const headers = { 'content-type': 'application/vnd.safetensors' };
      const address = `${url}${LAYER}?mapping=torch&heads=1`;
      return (await send(address, { method: 'PUT', headers, body: Buffer.from(file) })).json;
    },
  ],
  ['invalid_option', null, calling(SDPA, { ...SMALL, query: [[1, 2]], causal: true })],
  ['empty_row', null, calling(SDPA, { ...SMALL, forbid_mask: [[true, true]], empty_rows: 'error' })],
  ['numeric_overflow', null, calling(SDPA, { query: [[3e38]], key: [[3e38]], value: [[1]], scale: 1 })],
  ['over_budget', { limits: { mapBytes: 4 } }, calling(SDPA, { ...SMALL, return: { weights: true } })],
  ['headers_too_large', null, writing(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`)],
  [
    'internal_error',
    failing({ list: () => Promise.reject(new Error('of its own')) }),
    async ({ url }) => (await send(`${url}/v1/layers`)).json,
  ],
  [
    'layer_damaged',
    failing({ readContent: async () => new Uint8Array(new SharedArrayBuffer(8)) }),
    async (service) => {
      await putting(service);
      return (await send(`${service.url}${LAYER}/projections`)).json;
    },
  ],
  [
    'worker_lost',
    {},
    async (service) => {
      const lost = calling(SDPA, LONG)(service);
      await engineReaches(service.engine, ({ tilesComputed }) => tilesComputed > 0);
      void service.engine.workers[0].terminate();
      return lost;
    },
  ],
  ['over_capacity', { limits: { queueRequests: 0 } }, calling(SDPA, SMALL)],
  [
    'stopping',
    {},
    async (service) => {
      await service.engine.close();
      return calling(SDPA, SMALL)(service);
    },
  ],
  ['store_unavailable', await failingFiles('EIO'), (service) => putting(service)],
  ['deadline_exceeded', null, calling(SDPA, LONG, { 'x-deadline-ms': '10' })],
  ['insufficient_storage', await failingFiles('ENOSPC'), (service) => putting(service)],
];

describe('the catalogue', () => {
  let shared: TestService;
  beforeAll(async () => {
    shared = await listen();
  });
  afterAll(() => shared.close());

  it.each(PROVOCATIONS)('has the words of %s as it really happens', async (code, options, provoke) => {
    const service = options === null ? shared : await listen(options);
    const problem = await provoke(service);
    if (service !== shared) await service.close();
    expect(problem.code, problem.detail).toBe(code);
    const { detail, errors } = PROBLEM_EXPLANATIONS[code];
    expect(withoutNumbers(detail)).toBe(withoutNumbers(problem.detail));
    expect(withoutNumbers(errors)).toEqual(withoutNumbers(problem.errors));
  });

  it('has nothing that is not provoked, but for a request that takes half a minute to arrive', () => {
    const provoked = PROVOCATIONS.map(([code]) => code);
    expect(PROBLEM_CODES.filter((code) => !provoked.includes(code))).toEqual(['request_timeout']);
  });
});

/** Numbers and hashes are those of one case; everything else is to be the same. */
function withoutNumbers<Value>(value: Value): Value {
  const text = JSON.stringify(value).replace(/[0-9a-f]{64}/g, '#');
  return JSON.parse(text.replace(/\d[\d,.]*\d|\d/g, '0'));
}
