import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionTimes } from '../../src/http/connections.ts';
import { LARGE_ANSWER, LARGE_ANSWER_BYTES, RawConnection, rawPost } from '../support/raw-connection.ts';
import { engineReaches, filled, listen, post, SDPA, SMALL, type TestService } from './support.ts';

const times = (some: Partial<ConnectionTimes>) => ({ connectionTimes: some });

describe('a client', () => {
  const unreadMs = 1000;
  let service: TestService;
  beforeAll(async () => {
    service = await listen({ limits: { queueRequests: 1 }, ...times({ unreadMs, checkMs: 50 }) });
  });
  afterAll(() => service.close());

  it('that does not read its answer does not keep its place', async () => {
    const connection = await RawConnection.open(service.url);
    connection.write(LARGE_ANSWER);
    await engineReaches(service.engine, ({ requests }) => requests === 1);
    expect((await post(service.url + SDPA, SMALL)).status).toBe(503);
    // Nor does it if it goes on writing.
    const writing = setInterval(() => connection.write('GET /health/live HTTP/1.1', 'Host: a', '', ''), 20);
    await engineReaches(service.engine, ({ requests }) => requests === 0);
    clearInterval(writing);
    expect((await post(service.url + SDPA, SMALL)).status).toBe(200);
    expect(await connection.rest()).toBeLessThan(LARGE_ANSWER_BYTES);
  });

  it('that reads slowly gets all of its answer', async () => {
    const connection = await RawConnection.open(service.url);
    connection.write(LARGE_ANSWER.replace('Host: a', 'Host: a\r\nConnection: close'));
    const startMs = performance.now();
    let bytes = 0;
    connection.socket.on('data', (chunk) => {
      bytes += chunk.length;
      connection.socket.pause();
      setTimeout(() => connection.socket.resume(), 5);
    });
    await connection.closed;
    expect(bytes).toBeGreaterThan(LARGE_ANSWER_BYTES);
    expect(performance.now() - startMs).toBeGreaterThan(2 * unreadMs);
  });

  it('that waits for its answer is not taken for one that does not read', async () => {
    const impatient = await listen(times({ unreadMs: 1, checkMs: 1 }));
    const connection = await RawConnection.open(impatient.url);
    const rows = filled(512, 64);
    connection.write(rawPost(SDPA, { query: rows, key: rows, value: rows, precision: 'float64' }));
    expect((await connection.answer())?.status).toBe(200);
    connection.socket.destroy();
    await impatient.close();
  });
});

describe('a service that closes', () => {
  let service: TestService;
  afterEach(() => service.close());

  it('sends an answer to its end', async () => {
    service = await listen();
    const connection = await RawConnection.open(service.url);
    connection.write(LARGE_ANSWER);
    await engineReaches(service.engine, ({ requests }) => requests === 1);
    // The answer has been handed over to the connection when its first bytes are here.
    await once(connection.socket, 'readable');
    const closing = service.close();
    await sleep(200);
    expect((await connection.answer())?.body).toHaveLength(LARGE_ANSWER_BYTES);
    await closing;
  });

  it('closes what is idle at once', async () => {
    service = await listen(times({ silentMs: 60_000 }));
    const connection = await RawConnection.open(service.url);
    connection.write('GET /health/live HTTP/1.1', 'Host: a', '', '');
    await connection.answer();
    await service.close();
    await connection.closed;
  });

  it.each([
    ['nothing', ''],
    ['half a head', 'GET /health/live HTTP/1.1\r\nHost: a\r\nX-'],
  ])('does not wait for a connection on which came %s', async (_, text) => {
    service = await listen(times({ silentMs: 100 }));
    const connection = await RawConnection.open(service.url);
    connection.write(text);
    await sleep(20);
    await service.close();
    await connection.closed;
  });

  it('does not wait for the rest of a refused body', async () => {
    service = await listen(times({ silentMs: 100 }));
    const connection = await RawConnection.open(service.url);
    connection.write(
      `POST ${SDPA} HTTP/1.1`,
      'Host: a',
      'Content-Type: text/csv',
      'Content-Length: 9',
      '',
      'a',
    );
    expect((await connection.answer())?.status).toBe(415);
    await service.close();
    await connection.closed;
  });

  it('takes the rest of a head that is on its way', async () => {
    service = await listen(times({ silentMs: 5000 }));
    const connection = await RawConnection.open(service.url);
    connection.write('GET /health/live HTTP/1.1', 'Ho');
    await sleep(20);
    const closing = service.close();
    await sleep(100);
    connection.write('st: a', '', '');
    expect((await connection.answer())?.headers.get('connection')).toBe('close');
    await closing;
  });

  it('holds bodies and heads that go on coming to their usual limits', async () => {
    service = await listen(times({ silentMs: 60_000 }));
    const body = await RawConnection.open(service.url);
    body.write(`POST ${SDPA} HTTP/1.1`, 'Host: a', 'Content-Length: 1000', '', '{');
    const head = await RawConnection.open(service.url);
    head.write('GET / HTTP/1.1', 'X-');
    await engineReaches(service.engine, ({ requests }) => requests === 1);
    const coming = setInterval(() => {
      body.write(' ');
      head.write('-');
    }, 20);
    service.server.headersTimeout = 300;
    service.server.requestTimeout = 600;
    const startMs = performance.now();
    const closing = service.close();
    const answers = await Promise.all(
      [head, body].map(async (connection) => {
        const answer = await connection.answer();
        return { status: answer?.status, afterMs: performance.now() - startMs };
      }),
    );
    clearInterval(coming);
    expect(answers.map(({ status }) => status)).toEqual([408, 408]);
    expect(answers[0].afterMs).toBeGreaterThanOrEqual(300);
    expect(answers[1].afterMs).toBeGreaterThanOrEqual(600);
    await closing;
    expect(service.engine.stats().requests).toBe(0);
  });
});
