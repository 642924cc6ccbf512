import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { busiest } from '../support/busiest.ts';
import { type Answer, answerOf, openPost, postJson, sendSpaces } from '../support/exchange.ts';
import { type Gateway, nginxIsInstalled, startGateway } from '../support/gateway.ts';
import { type ServiceProcess, startService } from '../support/service-process.ts';

const installed = nginxIsInstalled();
if (!installed) console.warn('SKIPPED test/e2e/nginx.test.ts: there is no nginx on this machine.');

const ATTENTION = '/v1/scaled-dot-product-attention';
/** Calls that are under way at a time where the gateway is under load. */
const CLIENTS = 8;
const LIMIT = 64 * 2 ** 20;

/** Two keys that score 1 and 4 against one query; the values are picked apart by the weights. */
const SMALL = {
  query: [[1, 2]],
  key: [
    [1, 0],
    [0, 2],
  ],
  value: [[4], [10]],
  scale: 1,
};

/** Float64 arithmetic that grows with the square of the length: about a second of one worker for 1024. */
const work = (length: number) => ({
  query: filled(0.5, length, 64),
  key: filled(0.5, length, 64),
  value: filled(0.5, length, 64),
  precision: 'float64',
});

describe.skipIf(!installed)('nginx before two replicas', () => {
  let gateway: Gateway;
  let replicas: ServiceProcess[];

  describe('that stay', () => {
    beforeAll(async () => {
      replicas = await Promise.all([startService(), startService()]);
      gateway = await startGateway(replicas.map(({ port }) => port));
    });
    afterAll(stopAll);

    it('passes calls on, and to both', async () => {
      const upstreams = new Set<string>();
      for (let i = 0; i < 6; i++) {
        const { status, body, headers } = await call(gateway.url, SMALL);
        expect(status).toBe(200);
        const [low, high] = [1 / (1 + Math.exp(3)), 1 / (1 + Math.exp(-3))];
        expect((body.output as number[][])[0][0]).toBeCloseTo(4 * low + 10 * high, 5);
        upstreams.add((await gateway.record(headers['x-request-id'] as string)).upstream);
      }
      expect(upstreams).toEqual(new Set(replicas.map(({ port }) => `127.0.0.1:${port}`)));
    });

    it('carries one request id from end to end', async () => {
      const { headers } = await call(gateway.url, SMALL, { 'x-request-id': 'order-66' });
      expect(headers['x-request-id']).toBe('order-66');
      const { upstream } = await gateway.record('order-66');
      const replica = replicas.find(({ port }) => upstream.endsWith(`:${port}`))!;
      expect(await replica.line('"order-66"')).toContain(ATTENTION);
    });

    it('gives a new id where the one that came cannot be kept', async () => {
      const { headers } = await call(gateway.url, SMALL, { 'x-request-id': 'a"},{"b' });
      expect(headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
    });

    it('leaves the problems of the service as they are', async () => {
      const { status, headers, body } = await call(gateway.url, { ...SMALL, key: [[1, 0, 0]] });
      expect(status).toBe(422);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(body.code).toBe('shape_mismatch');
    });

    it.each([
      ['by its length', { 'content-length': String(LIMIT + 1) }],
      ['as it comes, where it names no length', {}],
    ])('refuses a body over the limit %s, as the service does', async (_how, headers) => {
      const exchange = openPost(gateway.url, ATTENTION, { 'content-type': 'application/json', ...headers });
      const answer = answerOf(exchange);
      sendSpaces(exchange, LIMIT + 1);
      const viaGateway = await answer;
      expect(viaGateway.status).toBe(413);
      expect(viaGateway.headers['content-type']).toBe('application/problem+json');
      expect(viaGateway.body).toMatchObject({ code: 'body_too_large', status: 413, instance: ATTENTION });

      const direct = openPost(replicas[0].url, ATTENTION, {
        'content-type': 'application/json',
        'content-length': String(LIMIT + 1),
      });
      direct.flushHeaders();
      const { body } = await answerOf(direct);
      expect(Object.keys(viaGateway.body)).toEqual(Object.keys(body));
      for (const field of ['type', 'title', 'status', 'code']) {
        expect(viaGateway.body[field], field).toEqual(body[field]);
      }
    });

    it('takes a body of exactly the limit', async () => {
      const json = Buffer.alloc(LIMIT, ' ');
      json.write(JSON.stringify(SMALL));
      const exchange = openPost(gateway.url, ATTENTION, {
        'content-type': 'application/json',
        'content-length': String(LIMIT),
      });
      exchange.end(json);
      expect((await answerOf(exchange)).status).toBe(200);
    });

    it('is ready where a replica is, and shows no metrics', async () => {
      expect((await fetch(`${gateway.url}/health/ready`)).status).toBe(200);
      const metrics = await fetch(`${gateway.url}/metrics`);
      expect(metrics.status).toBe(404);
      expect(await metrics.json()).toMatchObject({ code: 'not_found' });
    });
  });

  describe('of which one goes', () => {
    beforeEach(async () => {
      const env = { SHUTDOWN_DELAY_MS: '500' };
      replicas = await Promise.all([startService({ env }), startService({ env })]);
      gateway = await startGateway(replicas.map(({ port }) => port));
    });
    afterEach(stopAll);

    it('goes on when one is killed', async () => {
      expect((await call(gateway.url, SMALL)).status).toBe(200);
      replicas[0].kill('SIGKILL');
      await replicas[0].exited;
      for (let i = 0; i < 40; i++) expect((await call(gateway.url, SMALL)).status).toBe(200);
    });

    it('loses nothing when one is taken out and told to stop under load', async () => {
      const load = callWithoutPause(gateway.url);
      await Promise.all(replicas.map((replica) => replica.line(`"path":"${ATTENTION}"`)));
      await gateway.takeOut(replicas[0].port);
      replicas[0].kill('SIGTERM');
      expect(await replicas[0].exited).toEqual({ code: 0, signal: null });
      const outcomes = await load.finish();
      expect(outcomes.size).toBeGreaterThan(100);
      expect([...outcomes].filter(([, status]) => status !== 200)).toEqual([]);
    });

    it('answers whatever had reached the one that is told to stop without notice', async () => {
      const load = callWithoutPause(gateway.url);
      await Promise.all(replicas.map((replica) => replica.line(`"path":"${ATTENTION}"`)));
      replicas[0].kill('SIGTERM');
      expect(await replicas[0].exited).toEqual({ code: 0, signal: null });
      const outcomes = await load.finish();
      const logged = replicas[0].lines.filter((line) => line.includes(`"path":"${ATTENTION}"`));
      const reached = logged.map((line) => (JSON.parse(line) as { request_id: string }).request_id);
      expect(reached.length).toBeGreaterThan(20);
      expect(reached.filter((id) => outcomes.get(id) !== 200)).toEqual([]);
      const lost = [...outcomes].filter(([, status]) => status !== 200);
      for (const [, status] of lost) expect(status).toBe(502);
      expect(lost.length).toBeLessThanOrEqual(CLIENTS);
    });

    it('finishes what it computes when it is told to stop', async () => {
      const answers = Array.from({ length: 4 }, () => call(gateway.url, work(1024)));
      const [busy] = await busiest(replicas);
      busy.kill('SIGTERM');
      expect(await busy.exited).toEqual({ code: 0, signal: null });
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    });

    it('does not send a POST to the other one when its replica dies over it', async () => {
      const id = 'the-only-one';
      const answer = call(gateway.url, work(2048), { 'x-request-id': id });
      const [busy, idle] = await busiest(replicas);
      busy.kill('SIGKILL');
      const { status, headers, body } = await answer;
      expect(status).toBe(502);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(body).toMatchObject({ code: 'bad_gateway', request_id: id });
      expect((await gateway.record(id)).upstream).toBe(`127.0.0.1:${busy.port}`);
      expect((await call(gateway.url, SMALL, { 'x-request-id': 'the-next-one' })).status).toBe(200);
      await idle.line('"the-next-one"');
      expect(idle.lines.filter((line) => line.includes(id))).toEqual([]);
    });
  });

  async function stopAll(): Promise<void> {
    await gateway?.stop();
    await Promise.all(replicas.map((replica) => replica.stop()));
  }
});

function call(url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  return postJson(url, ATTENTION, body, headers);
}

/** Calls through the gateway, each client as soon as its last call is answered, until `finish`: statuses by id. */
function callWithoutPause(url: string): { finish: () => Promise<Map<string, number>> } {
  const outcomes = new Map<string, number>();
  let running = true;
  const client = async (name: number) => {
    for (let i = 0; running; i++) {
      const id = `client-${name}-${i}`;
      // A connection of its own for each call: nginx closes idle ones when it reloads, and a call could cross that.
      outcomes.set(id, (await call(url, SMALL, { 'x-request-id': id, connection: 'close' })).status);
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, name) => client(name)));
  return {
    finish: async () => {
      running = false;
      await clients;
      return outcomes;
    },
  };
}

/** A tensor of one number, small enough as text to be no work to decode. */
function filled(value: number, ...shape: number[]): object {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = Buffer.from(new Float32Array(count).fill(value).buffer).toString('base64');
  return { dtype: 'float32', shape, data };
}
