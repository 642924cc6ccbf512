import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  AttentionApiError,
  AttentionClient,
  AttentionConnectionError,
  AttentionDeadlineError,
  AttentionError,
  AttentionResponseError,
  type ClientOptions,
} from '../../src/client/index.ts';
import { writeSafetensors } from '../../src/wire/safetensors/write.ts';

const CALL = { query: [[1, 2]], key: [[1, 2]], value: [[3]] };
const SESSION = { session_id: 's', layer: 'a', etag: 'e', precision: 'float32', max_length: 9, position: 0 };
const HTML = '<html><body><h1>502 Bad Gateway</h1></body></html>';

type Respond = (response: ServerResponse, request: IncomingMessage) => void;

/** What a server does that has gone wrong, or stands in between. */
const good: Respond = (response) => {
  const output = { dtype: 'F32', shape: [1, 1], bytes: new Uint8Array(Float32Array.of(3).buffer) } as const;
  const metadata = { response: JSON.stringify({ empty_rows: 0, applied: {} }) };
  response.writeHead(200, { 'content-type': 'application/vnd.safetensors' });
  response.end(writeSafetensors(new Map([['output', output]]), metadata));
};
const html =
  (status: number): Respond =>
  (response) =>
    response.writeHead(status, { 'content-type': 'text/html' }).end(HTML);
const problem =
  (status: number, code: string, headers: Record<string, string> = {}): Respond =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
    response.end(JSON.stringify({ status, code, detail: 'It did not work.', request_id: 'r-1', errors: [] }));
  };
const json =
  (status: number, body: object): Respond =>
  (response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
const hangUp: Respond = (response) => response.destroy();
const hangUpInside: Respond = (response) => {
  response.writeHead(200, { 'content-type': 'application/vnd.safetensors', 'content-length': '1000' });
  response.write('x', () => response.destroy());
};
const silence: Respond = () => {};

describe('a client meets', () => {
  let server: Server;
  let url: string;
  let script: Respond[];
  let received: IncomingMessage[];
  const clients: AttentionClient[] = [];

  beforeEach(async () => {
    script = [];
    received = [];
    server = createServer((request, response) => {
      received.push(request);
      request
        .resume()
        .once('end', () => (script.length > 1 ? script.shift()! : script[0])(response, request));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    server.closeAllConnections();
    server.close();
  });

  /** Responds by the script, its last line over and over. */
  function clientOf(lines: Respond[], options: ClientOptions = {}): AttentionClient {
    script = lines;
    const client = new AttentionClient(url, { pauseMs: 1, ...options });
    clients.push(client);
    return client;
  }

  it.each<[string, Respond[]]>([
    ['a 503', [problem(503, 'over_capacity')]],
    ['a lost worker', [problem(503, 'worker_lost')]],
    ['a 502 in HTML', [html(502)]],
    ["a gateway's 504", [html(504)]],
    ['a closed connection', [hangUp]],
    ['a connection that closes inside the answer', [hangUpInside]],
    ['three of them', [hangUp, html(502), problem(503, 'stopping')]],
  ])('%s, and tries again', async (_what, faults) => {
    const { output } = await clientOf([...faults, good]).scaledDotProductAttention(CALL);
    expect(output).toEqual({ dtype: 'float32', shape: [1, 1], data: Float32Array.of(3) });
    expect(received).toHaveLength(faults.length + 1);
  });

  it('faults that do not pass, and stops trying', async () => {
    const gateway = clientOf([html(502)], { retries: 2 }).scaledDotProductAttention(CALL);
    await expect(gateway).rejects.toBeInstanceOf(AttentionApiError);
    await expect(gateway).rejects.toMatchObject({ status: 502, code: null, requestId: null });
    await expect(gateway).rejects.toThrow(/^502, without a problem, <html>/);
    expect(received).toHaveLength(3);
    const broken = clientOf([hangUpInside], { retries: 1 }).scaledDotProductAttention(CALL);
    await expect(broken).rejects.toBeInstanceOf(AttentionConnectionError);
    expect(received).toHaveLength(5);
  });

  it.each<[string, Respond, object]>([
    [
      'a refusal',
      problem(422, 'invalid_tensor'),
      { name: 'AttentionApiError', status: 422, requestId: 'r-1' },
    ],
    [
      'an internal error',
      problem(500, 'internal_error'),
      { name: 'AttentionApiError', code: 'internal_error' },
    ],
    [
      'a redirection',
      (response) => response.writeHead(302, { location: '/' }).end(),
      { status: 302, code: null },
    ],
    ['a page of a portal', html(200), { name: 'AttentionResponseError' }],
    [
      'a broken file',
      (response) =>
        response.writeHead(200, { 'content-type': 'application/vnd.safetensors' }).end('nonsense'),
      { name: 'AttentionResponseError' },
    ],
    [
      'a file of something else',
      (response) =>
        response
          .writeHead(200, { 'content-type': 'application/vnd.safetensors' })
          .end(writeSafetensors(new Map())),
      { name: 'AttentionResponseError' },
    ],
    [
      'a problem that is no JSON',
      (response) => response.writeHead(400, { 'content-type': 'application/problem+json' }).end('{'),
      { name: 'AttentionApiError', status: 400, code: null },
    ],
  ])('%s, and does not try again', async (_what, fault, error) => {
    await expect(clientOf([fault]).scaledDotProductAttention(CALL)).rejects.toMatchObject(error);
    expect(received).toHaveLength(1);
  });

  it('the time to come back, and waits for it', async () => {
    const startedMs = performance.now();
    await clientOf([problem(503, 'over_capacity', { 'retry-after': '1' }), good]).scaledDotProductAttention(
      CALL,
    );
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(1000);
  });

  it('a time to come back that is too late, and does not wait for it', async () => {
    const client = clientOf([problem(503, 'over_capacity', { 'retry-after': '60' })]);
    const call = client.scaledDotProductAttention(CALL, { deadlineMs: 5000 });
    await expect(call).rejects.toMatchObject({ code: 'over_capacity', retryAfter: 60 });
    expect(received).toHaveLength(1);
  });

  it('a time to come back that no timer can wait for, and does not come back at once', async () => {
    const client = clientOf([problem(503, 'over_capacity', { 'retry-after': '3000000' }), good]);
    await expect(client.scaledDotProductAttention(CALL)).rejects.toMatchObject({ retryAfter: 3_000_000 });
    expect(received).toHaveLength(1);
  });

  it.each([Number.POSITIVE_INFINITY, 2 ** 31])(
    'takes its time before a deadline of %d ms',
    async (deadlineMs) => {
      const slow: Respond = (response, request) => void setTimeout(() => good(response, request), 50);
      const { output } = await clientOf([slow]).scaledDotProductAttention(CALL, { deadlineMs });
      expect(output.shape).toEqual([1, 1]);
    },
  );

  it('silence, until its deadline', async () => {
    const call = clientOf([silence], { deadlineMs: 50 }).scaledDotProductAttention(CALL);
    await expect(call).rejects.toBeInstanceOf(AttentionDeadlineError);
    await expect(call).rejects.toThrow('50 ms');
  });

  it('an answer that stops in the middle, until its deadline', async () => {
    const half: Respond = (response) => {
      response.writeHead(200, { 'content-type': 'application/vnd.safetensors' }).write('x');
    };
    const call = clientOf([half]).scaledDotProductAttention(CALL, { deadlineMs: 50 });
    await expect(call).rejects.toBeInstanceOf(AttentionDeadlineError);
  });

  it('a deadline that the service noticed first', async () => {
    const call = clientOf([problem(504, 'deadline_exceeded')]).scaledDotProductAttention(CALL);
    await expect(call).rejects.toBeInstanceOf(AttentionDeadlineError);
    await expect(call).rejects.toMatchObject({ cause: { status: 504, requestId: 'r-1' } });
    expect(received).toHaveLength(1);
  });

  it('a deadline in a pause, and tells what it was waiting for', async () => {
    const client = clientOf([problem(503, 'stopping')], { retries: 1000, pauseMs: 5 });
    const error = await client.scaledDotProductAttention(CALL, { deadlineMs: 100 }).catch((reason) => reason);
    expect(error.code ?? error.name).toMatch(/^(stopping|AttentionDeadlineError)$/);
    expect(received.length).toBeGreaterThan(1);
  });

  it('its deadline with each request, less what has passed', async () => {
    await clientOf([problem(503, 'stopping', { 'retry-after': '1' }), good]).scaledDotProductAttention(CALL, {
      deadlineMs: 5000,
    });
    const [first, second] = received.map(({ headers }) => Number(headers['x-deadline-ms']));
    expect(first).toBeGreaterThan(4000);
    expect(first).toBeLessThanOrEqual(5000);
    expect(second).toBeLessThanOrEqual(first - 1000);
    await clientOf([good]).scaledDotProductAttention(CALL);
    expect(received[2].headers).not.toHaveProperty('x-deadline-ms');
  });

  it('an abort in a pause', async () => {
    const controller = new AbortController();
    const client = clientOf([problem(503, 'stopping', { 'retry-after': '60' })]);
    const call = client.scaledDotProductAttention(CALL, { signal: controller.signal });
    while (received.length === 0) await once(server, 'request');
    controller.abort();
    await expect(call).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('nobody', async () => {
    const nobody = new AttentionClient('http://127.0.0.1:9', { retries: 0 });
    const error = await nobody.info().catch((reason) => reason);
    expect(error).toBeInstanceOf(AttentionConnectionError);
    expect(error.message).toContain('ECONNREFUSED');
    await nobody.close();
  });

  it('an instance that is not ready, and says so', async () => {
    const starting: Respond = (response) =>
      response.writeHead(503, { 'content-type': 'application/json' }).end('{"status":"starting"}');
    expect(await clientOf([starting]).health()).toEqual({ status: 'starting' });
    await expect(clientOf([html(503)], { retries: 0 }).health()).rejects.toBeInstanceOf(AttentionApiError);
  });

  it('a gateway with a path and a key', async () => {
    script = [good];
    const client = new AttentionClient(`${url}/team/attention/`, {
      headers: { authorization: 'Bearer secret' },
    });
    clients.push(client);
    await client.multiHeadAttention({ embeddings: [[1]], projections: {} }, { requestId: 'mine' });
    expect(received[0]).toMatchObject({
      url: '/team/attention/v1/multi-head-attention',
      headers: {
        authorization: 'Bearer secret',
        'x-request-id': 'mine',
        accept: 'application/vnd.safetensors',
        'content-type': 'application/vnd.safetensors',
      },
    });
  });

  it('many calls, and opens no more connections than it may, and each once', async () => {
    let opened = 0;
    server.on('connection', () => opened++);
    const client = clientOf([good], { connections: 2 });
    await Promise.all(Array.from({ length: 20 }, () => client.scaledDotProductAttention(CALL)));
    for (let time = 0; time < 5; time++) await client.scaledDotProductAttention(CALL);
    expect(received).toHaveLength(25);
    expect(opened).toBeLessThanOrEqual(2);
  });

  describe('what must not be done twice', () => {
    const layer = { heads: 1, projections: {} };
    const calls: Readonly<Record<string, (client: AttentionClient) => Promise<unknown>>> = {
      'the beginning of a session': ({ sessions }) => sessions.begin({ layer: 'a' }),
      'the replacement of a known content': ({ layers }) => layers.put('a', layer, { ifMatch: 'e' }),
      'a new name': ({ layers }) => layers.putFile('a', new Uint8Array(8), {}, { isNew: true }),
      'the deletion of a known content': ({ layers }) => layers.delete('a', { ifMatch: 'e' }),
    };
    const table = Object.entries(calls);

    it.each(table)('%s is not sent again where it may have been done', async (_what, call) => {
      const faults = [hangUp, hangUpInside, html(502), problem(503, 'worker_lost'), html(503)];
      for (const [count, fault] of faults.entries()) {
        const error = await call(clientOf([fault])).catch((reason) => reason);
        expect(error).toBeInstanceOf(AttentionError);
        expect(received).toHaveLength(count + 1);
      }
    });

    it.each(table)('%s is sent again where the service had no room for it', async (_what, call) => {
      const client = clientOf([problem(503, 'over_capacity'), problem(503, 'stopping'), html(418)]);
      await expect(call(client)).rejects.toMatchObject({ status: 418 });
      expect(received).toHaveLength(3);
    });
  });

  it('that a repetition finds done what it asks for', async () => {
    const nothing = problem(404, 'not_found');
    await clientOf([hangUp, nothing]).layers.delete('a');
    const { sessions } = clientOf([json(200, SESSION), hangUp, problem(410, 'session_lost'), nothing]);
    const session = await sessions.find('s');
    await session.end();
    await expect(session.end()).rejects.toMatchObject({ code: 'not_found' });
    await expect(clientOf([nothing]).layers.delete('a')).rejects.toMatchObject({ code: 'not_found' });
    await expect(clientOf([hangUp, html(404)]).layers.delete('a')).rejects.toMatchObject({ status: 404 });
  });

  it('answers of the wrong kind', async () => {
    const { layers, sessions } = clientOf([
      (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{'),
      html(201),
      (response) => response.writeHead(204).end(),
    ]);
    await expect(layers.list()).rejects.toBeInstanceOf(AttentionResponseError);
    await expect(sessions.begin({ layer: 'a' })).rejects.toBeInstanceOf(AttentionResponseError);
    await expect(layers.get('a')).rejects.toBeInstanceOf(AttentionApiError);
  });
});
