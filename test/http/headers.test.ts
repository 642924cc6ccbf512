import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordLog } from './record-log.ts';
import { listen, post, SDPA, SMALL, send, type TestService } from './support.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

describe('headers', () => {
  let service: TestService;
  const { logger, logged } = recordLog();

  beforeAll(async () => {
    service = await listen({ logger });
  });
  afterAll(() => service.close());

  it('carry the request id of the caller', async () => {
    const { headers } = await post(service.url + SDPA, SMALL, { 'x-request-id': 'order-66_A' });
    expect(headers['x-request-id']).toBe('order-66_A');
  });

  it.each([
    ['none is given', undefined],
    ['it has other characters', 'a"}, {"b'],
    ['it is too long', 'a'.repeat(65)],
    ['it is empty', ''],
  ])('carry a new request id where %s', async (_why, id) => {
    const { headers } = await post(service.url + SDPA, SMALL, id === undefined ? {} : { 'x-request-id': id });
    expect(headers['x-request-id']).toMatch(UUID);
  });

  it('carry the trace on, into the log too', async () => {
    const { headers } = await post(service.url + SDPA, SMALL, {
      traceparent: TRACEPARENT,
      'x-request-id': 'traced',
    });
    expect(headers.traceparent).toBe(TRACEPARENT);
    expect(await logged('traced')).toMatchObject({
      trace_id: TRACE,
      status: 200,
      path: SDPA,
      method: 'POST',
    });
  });

  it.each([
    '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'nonsense',
  ])('drop the broken trace %s', async (traceparent) => {
    expect((await post(service.url + SDPA, SMALL, { traceparent })).headers.traceparent).toBeUndefined();
  });

  it('tell how long each step took', async () => {
    const { headers } = await post(service.url + SDPA, SMALL);
    expect(headers['server-timing']).toMatch(
      /^decode;dur=[\d.]+, queue;dur=[\d.]+, compute;dur=[\d.]+, encode;dur=[\d.]+$/,
    );
    const compute = /compute;dur=([\d.]+)/.exec(String(headers['server-timing']))?.[1];
    expect(Number(compute)).toBeGreaterThan(0);
    const refused = await post(service.url + SDPA, { ...SMALL, causal: true });
    expect(refused.headers['server-timing']).toMatch(/^decode;dur=[\d.]+, queue;dur=0, compute;dur=0/);
  });

  it('close the connection after a body that is refused unread, if the caller asked for that', async () => {
    const headers = { 'content-encoding': 'zstd' };
    expect((await post(service.url + SDPA, SMALL, headers)).headers.connection).not.toBe('close');
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1').setEncoding('utf8');
    const head = 'Host: a\r\nConnection: close\r\nContent-Encoding: zstd\r\nContent-Length: 2';
    socket.write(`POST ${SDPA} HTTP/1.1\r\n${head}\r\n\r\n{}`);
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 .*\r\nconnection: close\r\n/is);
  });

  it('keep browsers from running or framing what a response holds', async () => {
    for (const path of ['/', SDPA, '/health/live', '/nowhere', '/docs/']) {
      const { headers } = await send(service.url + path);
      expect(headers['x-content-type-options'], path).toBe('nosniff');
      expect(headers['content-security-policy'], path).toMatch(/default-src 'none'|default-src 'self'/);
      expect(headers['content-security-policy'], path).toContain('frame-ancestors');
    }
  });
});

describe('the address of the caller', () => {
  it.each([
    ['is the one a trusted gateway names', ['127.0.0.0/8'], '198.51.100.7'],
    ['is the one of the connection where no gateway is trusted', [], '127.0.0.1'],
  ])('%s', async (_name, trustProxy, address) => {
    const { logger, logged } = recordLog();
    const service = await listen({ logger, trustProxy });
    await post(service.url + SDPA, SMALL, { 'x-forwarded-for': '198.51.100.7', 'x-request-id': 'far' });
    expect((await logged('far')).remote_address).toBe(address);
    await service.close();
  });
});

describe('addresses and methods', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await listen();
  });
  afterAll(() => service.close());

  it('that are unknown answer 404, also by POST with a body of any type', async () => {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS'] as const) {
      const body = method === 'POST' ? 'x' : undefined;
      const reply = await send(`${service.url}/v1/nowhere`, {
        method,
        headers: { 'content-type': 'text/csv' },
        ...(body === undefined ? {} : { body }),
      });
      expect(reply.status).toBe(404);
      expect(reply.json.code).toBe('not_found');
    }
  });

  it.each([
    ['GET', SDPA, 'POST, OPTIONS'],
    ['HEAD', SDPA, 'POST, OPTIONS'],
    ['DELETE', '/v1/info', 'GET, HEAD, OPTIONS'],
    ['PUT', '/problems/not_found', 'GET, HEAD, OPTIONS'],
  ] as const)('%s %s answers 405 with Allow', async (method, path, allow) => {
    const reply = await send(service.url + path, { method });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe(allow);
    if (method !== 'HEAD') expect(reply.json).toMatchObject({ code: 'method_not_allowed', instance: path });
  });

  it('tell by OPTIONS what they take', async () => {
    const reply = await send(service.url + SDPA, { method: 'OPTIONS' });
    expect([reply.status, reply.headers.allow, reply.text]).toEqual([204, 'POST, OPTIONS', '']);
  });

  it('that cannot be decoded answer 400', async () => {
    const reply = await send(`${service.url}/%zz`);
    expect(reply.json).toMatchObject({ status: 400, code: 'malformed_request' });
    expect(reply.headers['x-request-id']).toBe(reply.json.request_id);
  });

  it('live and ready', async () => {
    expect((await send(`${service.url}/health/live`)).json).toEqual({ status: 'live' });
    const ready = await send(`${service.url}/health/ready`);
    expect([ready.status, ready.json]).toEqual([200, { status: 'ready' }]);
    expect(ready.headers['cache-control']).toBe('no-store');
    expect((await send(`${service.url}/health/ready`, { method: 'HEAD' })).status).toBe(200);
  });

  it('describe the instance', async () => {
    const { json } = await send(`${service.url}/v1/info`);
    expect(json).toMatchObject({
      name: 'attention-api',
      formats: {
        request: ['application/json', 'application/vnd.safetensors'],
        response: ['application/json', 'application/vnd.safetensors', 'application/x-npy'],
      },
      limits: { body_bytes: 64 * 2 ** 20, deadline_ms: 60_000 },
      threads: 1,
      engine: { threads_up: 1 },
    });
    const { json: call } = await post(service.url + SDPA, SMALL);
    expect(json.kernels).toContainEqual({ name: call.applied.kernel, precision: 'float32' });
  });
});

describe('what is no HTTP', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await listen();
  });
  afterAll(() => service.close());

  it.each([
    [
      'headers that are too large',
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['nonsense', 'HELLO\r\n\r\n', 400, 'malformed_request'],
    [
      'a length and chunks at once',
      `POST ${SDPA} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'malformed_request',
    ],
  ])('%s is refused in the same form', async (_name, bytes, status, code) => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    socket.write(bytes);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    await once(socket, 'close');
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    const problem = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
    expect(problem).toMatchObject({ status, code, type: `/problems/${code}` });
    expect(text).toContain(`X-Request-Id: ${problem.request_id}`);
  });
});
