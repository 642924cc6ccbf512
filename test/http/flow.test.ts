import { describe, expect, it } from 'vitest';
import { makeCall } from '../support/calls.ts';
import { answerOf, openPost } from '../support/exchange.ts';
import {
  engineReaches,
  filled,
  LONG,
  LONG_ROWS,
  LONG_WIDTH,
  listen,
  post,
  SDPA,
  type ServiceOptions,
  SMALL,
  send,
  type TestService,
} from './support.ts';

const IDLE = { requests: 0, bytes: 0, jobs: 0, queuedJobs: 0, runningSlices: 0 };

async function withService(
  options: ServiceOptions,
  test: (service: TestService) => Promise<void>,
): Promise<void> {
  const service = await listen(options);
  try {
    await test(service);
  } finally {
    await service.close();
  }
}

describe('a request that takes long', () => {
  it('ends with 504 when its deadline passes, and leaves nothing behind', async () => {
    await withService({}, async ({ url, engine }) => {
      const reply = await post(url + SDPA, LONG, { 'x-deadline-ms': '100' });
      expect(reply.status).toBe(504);
      expect(reply.json).toMatchObject({ code: 'deadline_exceeded', status: 504 });
      await engineReaches(engine, ({ requests }) => requests === 0);
      expect((await post(url + SDPA, SMALL)).status).toBe(200);
      expect(engine.stats()).toMatchObject(IDLE);
    });
  });

  it('has no longer deadline than the limit', async () => {
    await withService({ limits: { deadlineMs: 100 } }, async ({ url }) => {
      expect((await post(url + SDPA, LONG, { 'x-deadline-ms': '600000' })).status).toBe(504);
      expect((await post(url + SDPA, LONG)).status).toBe(504);
    });
  });

  it('keeps its deadline while its body is still on the way', async () => {
    await withService({ limits: { deadlineMs: 50 } }, async ({ url, engine }) => {
      const exchange = openPost(url, SDPA, { 'content-type': 'application/json' });
      const answer = answerOf(exchange);
      exchange.write('{"query":');
      expect(await answer).toMatchObject({ status: 504, body: { code: 'deadline_exceeded' } });
      exchange.destroy();
      await engineReaches(engine, ({ requests }) => requests === 0);
    });
  });

  it('frees its worker within a tile when its client goes away', async () => {
    await withService({}, async ({ url, engine }) => {
      const client = new AbortController();
      const answer = post(url + SDPA, LONG, {}, client.signal);
      await engineReaches(engine, ({ tilesComputed }) => tilesComputed > 0);
      client.abort();
      await expect(answer).rejects.toThrow();
      expect((await post(url + SDPA, SMALL)).status).toBe(200);
      await engineReaches(engine, ({ requests }) => requests === 0);
      expect(engine.stats()).toMatchObject(IDLE);
      expect(engine.stats().tilesComputed).toBeLessThan(tilesOfLong(engine));
    });
  });

  it('is given up when its client goes away before it was begun', async () => {
    await withService({}, async ({ url, engine }) => {
      const [first, second] = [new AbortController(), new AbortController()];
      const running = post(url + SDPA, LONG, {}, first.signal);
      await engineReaches(engine, ({ tilesComputed }) => tilesComputed > 0);
      const waiting = post(url + SDPA, LONG, {}, second.signal);
      await engineReaches(engine, ({ requests }) => requests === 2);
      second.abort();
      await expect(waiting).rejects.toThrow();
      await engineReaches(engine, ({ requests }) => requests === 1);
      first.abort();
      await expect(running).rejects.toThrow();
      await engineReaches(engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    });
  });

  it('lets the event loop answer others', async () => {
    await withService({}, async ({ url, engine }) => {
      const client = new AbortController();
      const answer = post(url + SDPA, LONG, {}, client.signal);
      await engineReaches(engine, ({ tilesComputed }) => tilesComputed > 0);
      expect((await send(`${url}/health/ready`)).json).toEqual({ status: 'ready' });
      expect((await send(`${url}/v1/info`)).json.engine).toMatchObject({
        requests: 1,
        threads_up: 1,
      });
      client.abort();
      await expect(answer).rejects.toThrow();
    });
  });
});

describe('more requests than there is room for', () => {
  it('are refused by their number, with the time to come back', async () => {
    await withService({ limits: { queueRequests: 1 } }, async ({ url, engine }) => {
      const client = new AbortController();
      const first = post(url + SDPA, LONG, {}, client.signal);
      await engineReaches(engine, ({ requests }) => requests === 1);
      const second = await post(url + SDPA, SMALL);
      expect(second.status).toBe(503);
      expect(second.json.code).toBe('over_capacity');
      expect(Number(second.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      client.abort();
      await expect(first).rejects.toThrow();
      await engineReaches(engine, ({ requests }) => requests === 0);
      expect((await post(url + SDPA, SMALL)).status).toBe(200);
    });
  });

  it('are refused by their bytes, before their body is read', async () => {
    await withService({ limits: { queueBytes: 100_000 } }, async ({ url, engine }) => {
      const big = await post(url + SDPA, { ...SMALL, bias: filled(1, 100_000) });
      expect(big.status).toBe(503);
      expect(big.json.code).toBe('over_capacity');
      expect(big.headers['retry-after']).toMatch(/^\d+$/);
      expect((await post(url + SDPA, SMALL)).status).toBe(200);
      await engineReaches(engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    });
  });
});

it('answers many requests at once, each with its own result', async () => {
  await withService({ threads: 2 }, async ({ url, engine }) => {
    const values = Array.from({ length: 64 }, (_, index) => index);
    const replies = await Promise.all(
      values.map((value) => post(url + SDPA, { query: [[1]], key: [[1]], value: [[value]] })),
    );
    expect(replies.map(({ json }) => json.output[0][0])).toEqual(values);
    await engineReaches(engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
  });
});

it('reads a large body and writes a large response in the worker, to the last number', async () => {
  await withService({ threads: 2 }, async ({ url }) => {
    const value = Array.from({ length: 40_000 }, (_, index) => index / 8);
    const body = { query: { shape: [1, 1], data: [1] }, key: { shape: [1, 1], data: [1] }, value: [value] };
    const { json } = await post(url + SDPA, body);
    expect(json.output).toEqual([value]);
  });
});

function tilesOfLong(engine: TestService['engine']): number {
  const call = makeCall({
    precision: 'float64',
    queries: LONG_ROWS,
    newKeys: LONG_ROWS,
    headSize: LONG_WIDTH,
  });
  return engine
    .kernelOf(call)
    .plan(call)
    .stages.reduce((sum, { tiles }) => sum + tiles, 0);
}
