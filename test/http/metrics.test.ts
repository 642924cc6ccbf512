import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { put, TOKENS, TWO_HEADS } from './layers/support.ts';
import { engineReaches, listen, post, SDPA, SMALL, send, type TestService } from './support.ts';

let service: TestService;
beforeEach(async () => {
  // Each session counts for 4096 bytes at least.
  service = await listen({ threads: 2, limits: { sessionBytes: 2 * 4096 } });
});
afterEach(() => service.close());

/** A line of the text format: name, labels and value. */
const SAMPLE = /^([a-z_]+)(?:\{((?:[a-z]+="[^"]*",?)+)\})? (\S+)$/;
const COMMENT = /^# (HELP [a-z_]+ \S.*|TYPE [a-z_]+ (gauge|counter|histogram))$/;

/** Values by name and labels as they stand there: `name{a="b"}`. */
async function scrape(): Promise<Map<string, number>> {
  const { status, headers, text } = await send(`${service.url}/metrics`);
  expect([status, headers['cache-control']]).toEqual([200, 'no-store']);
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = text.split('\n').filter((line) => line !== '');
  for (const line of lines) expect(line).toMatch(line.startsWith('#') ? COMMENT : SAMPLE);
  const samples = lines.flatMap((line) => (line.startsWith('#') ? [] : [SAMPLE.exec(line)!]));
  const found = samples.map(([, name, labels, value]) => {
    return [labels === undefined ? name : `${name}{${labels}}`, Number(value)] as const;
  });
  expect(new Set(found.map(([key]) => key)).size).toBe(found.length);
  return new Map(found);
}

const requests = (samples: Map<string, number>) =>
  Object.fromEntries(
    [...samples].flatMap(([key, value]) => {
      const [, method, route, status] =
        /^http_request_duration_seconds_count\{method="(.*)",route="(.*)",status="(.*)"\}$/.exec(key) ?? [];
      return method === undefined ? [] : [[`${method} ${route} ${status}`, value]];
    }),
  );

describe('GET /metrics', () => {
  it('counts requests by method, route and status', async () => {
    for (let call = 0; call < 3; call++) await post(service.url + SDPA, SMALL);
    await post(service.url + SDPA, { ...SMALL, key: [[1, 0, 0]] });
    await put(`${service.url}/v1/layers/a`, TWO_HEADS);
    await put(`${service.url}/v1/layers/b`, TWO_HEADS);
    await send(`${service.url}/v1/layers/a`);
    await send(`${service.url}/v1/layers/a`, { method: 'HEAD' });
    await send(`${service.url}/v1/layers/c`);
    for (const path of ['/nowhere', '/nowhere/else', '/v1/layers/a/b/c']) await send(service.url + path);
    await send(service.url + SDPA, { method: 'DELETE' });
    expect(requests(await scrape())).toEqual({
      [`POST ${SDPA} 200`]: 3,
      [`POST ${SDPA} 422`]: 1,
      'PUT /v1/layers/:layer 201': 2,
      'GET /v1/layers/:layer 200': 1,
      'HEAD /v1/layers/:layer 200': 1,
      'GET /v1/layers/:layer 404': 1,
      'GET none 404': 3,
      'DELETE none 405': 1,
    });
    // The scrapes themselves, once they are answered.
    expect(requests(await scrape())['GET /metrics 200']).toBe(1);
  });

  it('tells how long they took', async () => {
    const startMs = performance.now();
    for (let call = 0; call < 20; call++) await post(service.url + SDPA, SMALL);
    const tookSeconds = (performance.now() - startMs) / 1000;
    const samples = await scrape();
    const labels = `method="POST",route="${SDPA}",status="200"`;
    const sum = samples.get(`http_request_duration_seconds_sum{${labels}}`)!;
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThan(tookSeconds);
    const buckets = [...samples].filter(([key]) =>
      key.startsWith('http_request_duration_seconds_bucket{le='),
    );
    const counts = buckets.filter(([key]) => key.includes(labels)).map(([, value]) => value);
    expect(counts.length).toBeGreaterThan(10);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(counts.at(-1)).toBe(20);
  });

  it('tells what the engine does and has done', async () => {
    const idle = await scrape();
    expect(idle.get('attention_engine_threads')).toBe(2);
    expect(idle.get('attention_engine_threads_up')).toBe(2);
    expect(idle.get('attention_engine_workers_lost_total')).toBe(0);
    const ticket = service.engine.admit(123_456);
    const busy = await scrape();
    expect(busy.get('attention_engine_requests')).toBe(1);
    expect(busy.get('attention_engine_bytes')).toBe(service.engine.stats().bytes);
    expect(busy.get('attention_engine_bytes')).toBeGreaterThanOrEqual(123_456);
    ticket.release();
    const after = await scrape();
    expect([after.get('attention_engine_requests'), after.get('attention_engine_bytes')]).toEqual([0, 0]);
    await service.engine.workers[0].terminate();
    await engineReaches(service.engine, ({ workersLost }) => workersLost > 0);
    expect((await scrape()).get('attention_engine_workers_lost_total')).toBe(1);
  });

  it('tells what layers and sessions hold, as /v1/info does, and how many were lost', async () => {
    await put(`${service.url}/v1/layers/a`, TWO_HEADS);
    expect((await scrape()).get('attention_layers_open')).toBe(0);
    await post(`${service.url}/v1/layers/a/attention`, { embeddings: TOKENS });
    for (let session = 0; session < 5; session++) await post(`${service.url}/v1/sessions`, { layer: 'a' });
    const { layers, sessions } = (await send(`${service.url}/v1/info`)).json;
    expect(layers.open).toBe(1);
    expect(sessions.open).toBe(2);
    const samples = await scrape();
    expect(samples.get('attention_layers_open')).toBe(layers.open);
    expect(samples.get('attention_layers_packed')).toBe(layers.packed);
    expect(samples.get('attention_layers_bytes')).toBe(layers.bytes);
    expect(samples.get('attention_layers_packed_bytes')).toBe(layers.packed_bytes);
    expect(samples.get('attention_sessions_open')).toBe(sessions.open);
    expect(samples.get('attention_sessions_bytes')).toBe(sessions.bytes);
    expect(samples.get('attention_sessions_evicted_total')).toBe(3);
    expect(samples.get('attention_sessions_expired_total')).toBe(0);
    // A total is told again, not added up.
    expect((await scrape()).get('attention_sessions_evicted_total')).toBe(3);
  });

  it('is one for each instance', async () => {
    const other = await listen({ threads: 1 });
    await post(other.url + SDPA, SMALL);
    expect(requests(await scrape())).toEqual({});
    await other.close();
  });
});
