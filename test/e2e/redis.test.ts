import { createClient } from '@redis/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisStore } from '../../src/store/redis/store.ts';
import { put, TOKENS, TWO_HEADS } from '../http/layers/support.ts';
import { post, send } from '../http/support.ts';
import { holdToContract } from '../store/contract.ts';
import { contentOf, storedLayer } from '../store/support.ts';
import { startService } from '../support/service-process.ts';
import { RedisServer } from './redis-server.ts';

const logger = { error() {} };

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const connection = () => createClient({ url: server.url });

/** Runs commands by a client of their own. */
async function asking<Result>(
  ask: (client: ReturnType<typeof connection>) => Promise<Result>,
): Promise<Result> {
  const client = connection();
  await client.connect();
  try {
    return await ask(client);
  } finally {
    client.destroy();
  }
}

describe('the store in Redis', () => {
  holdToContract(async () => {
    await asking((client) => client.flushAll());
    return RedisStore.open({ url: server.url, logger });
  });

  it('drops a content with the last name that has it, and one that never got a name in time', async () => {
    await asking(async (client) => {
      await client.flushAll();
      const store = await RedisStore.open({ url: server.url, logger });
      const [kept, orphan] = [contentOf('kept'), contentOf('orphan')];
      for (const { etag, bytes } of [kept, orphan]) await store.writeContent(etag, [bytes]);
      await store.replace('a', 0, storedLayer('a', kept));
      await store.replace('b', 0, storedLayer('b', kept));
      expect(await client.ttl(`attention:content:${kept.etag}`)).toBe(-1);
      expect(await client.ttl(`attention:content:${orphan.etag}`)).toBeGreaterThan(0);
      await store.replace('a', 1, null);
      expect(await store.readContent(kept.etag)).not.toBeNull();
      await store.replace('b', 1, null);
      expect(await store.readContent(kept.etag)).toBeNull();
      expect(await store.replace('a', 2, storedLayer('a', kept))).toBe(false);
      await store.close();
    });
  });

  it('says that it is full where the server has no memory left', async () => {
    const small = await RedisServer.start(['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction']);
    try {
      const store = await RedisStore.open({ url: small.url, logger });
      const content = contentOf('large', 4 * 1024 * 1024);
      await expect(store.writeContent(content.etag, [content.bytes])).rejects.toMatchObject({
        code: 'insufficient_storage',
      });
      expect(await store.list()).toEqual([]);
      await store.close();
    } finally {
      await small.stop();
    }
  });

  it('refuses to open where no server answers', async () => {
    await expect(RedisStore.open({ url: 'redis://127.0.0.1:1', logger })).rejects.toThrow();
  });
});

describe('services that share a Redis', () => {
  it('see what the others registered, also after Redis was killed and is back', async () => {
    await asking((client) => client.flushAll());
    const env = { STORE: 'redis', REDIS_URL: server.url, THREADS: '1' };
    const [one, other] = await Promise.all([startService({ env }), startService({ env })]);
    try {
      const made = await put(`${one.url}/v1/layers/shared`, TWO_HEADS);
      expect(made.status).toBe(201);
      const answers = await Promise.all(
        [one, other].map(({ url }) => post(`${url}/v1/layers/shared/attention`, { embeddings: TOKENS })),
      );
      expect(answers[0].json.output).toEqual(answers[1].json.output);
      expect(answers[1].json.applied.layer.etag).toBe(made.json.etag);
      const raced = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          put(
            `${[one, other][index % 2].url}/v1/layers/raced`,
            { ...TWO_HEADS, scale: index + 1 },
            { 'if-none-match': '*' },
          ),
        ),
      );
      expect(raced.filter(({ status }) => status === 201)).toHaveLength(1);
      expect(raced.filter(({ status }) => status === 412)).toHaveLength(19);

      await server.kill();
      const lost = await send(`${one.url}/v1/layers`);
      expect([lost.status, lost.json.code, lost.headers['retry-after']]).toEqual([
        503,
        'store_unavailable',
        '2',
      ]);
      expect((await send(`${one.url}/health/ready`)).status).toBe(200);
      await server.resume();
      let list = await send(`${one.url}/v1/layers`);
      while (list.status === 503) list = await send(`${one.url}/v1/layers`);
      expect(list.json.layers.map(({ name }: { name: string }) => name)).toEqual(['raced', 'shared']);
    } finally {
      await Promise.all([one.stop(), other.stop()]);
    }
  });
});
