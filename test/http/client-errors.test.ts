import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REQUEST_TIMEOUT } from '../../src/http/client-errors.ts';
import { RawConnection, rawPost, readAnswers } from '../support/raw-connection.ts';
import { recordLog } from './record-log.ts';
import { engineReaches, filled, listen, SDPA, SMALL, send, type TestService } from './support.ts';

const { logger, lines } = recordLog();
let service: TestService;
beforeAll(async () => {
  service = await listen({ logger });
  // Node looks once a second for what is late.
  service.server.headersTimeout = 100;
  service.server.requestTimeout = 100;
});
afterAll(() => service.close());

const ROWS = filled(512, 64);
/** A call that takes long enough to be overtaken. */
const SLOW = rawPost(SDPA, { query: ROWS, key: ROWS, value: ROWS, precision: 'float64' });
const LIVE = 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n';
const TOO_LARGE = `GET /v2 HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`;
const NONSENSE = 'NONSENSE\r\n\r\n';
const HALF_A_HEAD = 'GET /health/live HTTP/1.1\r\nHo';
const BAD_CHUNK = 'Transfer-Encoding: chunked\r\n\r\nzz\r\n';

const answersTo = (...bytes: string[]) => readAnswers(service.url, bytes);
const statusesTo = async (...bytes: string[]) => (await answersTo(...bytes)).map(({ status }) => status);

describe('what is no HTTP is answered', () => {
  it.each([
    ['nonsense', NONSENSE, 400],
    ['headers that are too large', TOO_LARGE, 431],
    ['half a head that goes no further', HALF_A_HEAD, 408],
  ])('on a connection that was used before: %s', async (_, bytes, status) => {
    expect(await statusesTo(LIVE, bytes)).toEqual([200, status]);
  });

  it('after what came before it', async () => {
    expect(await statusesTo(rawPost(SDPA, SMALL) + NONSENSE)).toEqual([200, 400]);
    expect(await statusesTo(SLOW + LIVE + TOO_LARGE)).toEqual([200, 200, 431]);
  });

  it('unless it was late, and has come after all', async () => {
    const accepted = once(service.server, 'connection');
    const connection = await RawConnection.open(service.url);
    const [socket] = await accepted;
    connection.write(SLOW + HALF_A_HEAD);
    await engineReaches(service.engine, ({ jobs }) => jobs === 1);
    service.server.emit('clientError', Object.assign(new Error(), { code: REQUEST_TIMEOUT }), socket);
    connection.write('st: a\r\n\r\n');
    const answers = [await connection.answer(), await connection.answer(), await connection.answer()];
    expect(answers.map((answer) => answer?.status)).toEqual([200, 200, undefined]);
  });

  it('once, however much of it comes', async () => {
    expect(await statusesTo(NONSENSE.repeat(50_000))).toEqual([400]);
  });

  it.each([
    ['is broken', BAD_CHUNK, 400],
    ['does not come', 'Content-Length: 9\r\n\r\n', 408],
  ])('where a body %s, unless its request has been answered', async (_, rest, status) => {
    const head = `POST ${SDPA} HTTP/1.1\r\nHost: a\r\n`;
    expect(await statusesTo(head + rest)).toEqual([status]);
    expect(await statusesTo(`${head}Content-Type: text/csv\r\n${rest}`)).toEqual([expect.any(Number)]);
    expect(service.engine.stats().requests).toBe(0);
  });
});

describe('such an answer', () => {
  it.each([
    ['headers that are too large', TOO_LARGE],
    ['a header that is none', 'GET /v2/health/live?a HTTP/1.1\r\nHo st: a\r\n\r\n'],
    ['headers after another request', LIVE + TOO_LARGE],
    ['a body', `POST /v2/models/multi-head-attention/infer HTTP/1.1\r\nHost: a\r\n${BAD_CHUNK}`],
  ])('has the form of the Open Inference Protocol under its addresses: %s', async (_, bytes) => {
    const answer = (await answersTo(bytes)).at(-1);
    expect(answer?.headers.get('content-type')).toBe('application/json');
    expect(JSON.parse(String(answer?.body))).toEqual({ error: expect.stringMatching(/^The request/) });
  });

  it('has the form of all problems elsewhere, and the id that its caller names', async () => {
    const head = `POST ${SDPA} HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n`;
    const [answer] = await answersTo(head + BAD_CHUNK);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('x-request-id')).toBe('mine');
    expect(answer.headers.get('connection')).toBe('close');
    expect(JSON.parse(String(answer.body))).toMatchObject({
      code: 'malformed_request',
      instance: SDPA,
      request_id: 'mine',
    });
  });

  it('is logged and counted', async () => {
    const count = async (labels: string) => {
      const { text } = await send(`${service.url}/metrics`);
      const line = `http_request_duration_seconds_count{${labels}} `;
      return Number(
        text
          .split('\n')
          .find((one) => one.startsWith(line))
          ?.slice(line.length) ?? 0,
      );
    };
    const nameless = 'method="none",route="none",status="400"';
    const named = 'method="GET",route="none",status="431"';
    const before = [await count(nameless), await count(named)];
    const [{ headers }] = await answersTo(TOO_LARGE);
    await answersTo('BREW /coffee HTTP/1.1\r\nHost: a\r\n\r\n');
    expect([await count(nameless), await count(named)]).toEqual(before.map((one) => one + 1));
    expect(lines.filter(({ request_id }) => request_id === headers.get('x-request-id'))).toMatchObject([
      { msg: 'request refused', code: 'headers_too_large', detail: expect.stringMatching(/16 KiB/) },
      { msg: 'request', method: 'GET', path: '/v2', status: 431, remote_address: '127.0.0.1' },
    ]);
  });
});
