import { createClient } from '@redis/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RedisStore } from '../../src/store/redis/store.ts';
import { put as putLayer, TOKENS, TWO_HEADS } from '../http/layers/support.ts';
import { post, send } from '../http/support.ts';
import { holdToContract } from '../store/contract.ts';
import { contentOf, listener, put, storedLayer } from '../store/support.ts';
import { startService } from '../support/service-process.ts';
import { RedisServer } from './redis-server.ts';
import { SlowLine } from './slow-line.ts';

const MIB = 2 ** 20;

const logger = { error() {} };

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const connection = (to: RedisServer) => createClient({ url: to.url });

/** Runs commands by a client of their own. */
async function asking<Result>(
  ask: (client: ReturnType<typeof connection>) => Promise<Result>,
  to = server,
): Promise<Result> {
  const client = connection(to);
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

  it('says that it is full where the server has no memory left, and can be emptied then', async () => {
    const small = await RedisServer.start(['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction']);
    try {
      const store = await RedisStore.open({ url: small.url, logger });
      const [kept, large] = [contentOf('kept', 3 * MIB), contentOf('large', 8 * MIB)];
      await put(store, 'a', kept);
      await put(store, 'b', kept);
      await expect(store.writeContent(large.etag, [large.bytes])).rejects.toMatchObject({
        code: 'insufficient_storage',
      });
      await asking(async (client) => {
        await client.configSet('maxmemory', '1mb');
        expect(await store.replace('a', 1, null)).toBe(true);
        expect((await store.list()).map(({ name }) => name)).toEqual(['b']);
        expect(await store.replace('b', 1, null)).toBe(true);
        expect(await client.keys('*')).toEqual(
          expect.arrayContaining(['attention:name:a', 'attention:name:b']),
        );
        expect(await client.dbSize()).toBe(2);
      }, small);
      await store.close();
    } finally {
      await small.stop();
    }
  });

  it('leaves out what is damaged or no layer, tells of it once, and puts a layer in its place', async () => {
    await asking(async (client) => {
      await client.flushAll();
      const { told, logger } = listener();
      const store = await RedisStore.open({ url: server.url, logger });
      const [first, second] = [contentOf('first'), contentOf('second')];
      const names = ['a', 'broken', 'copy', 'string', 'without-revision'];
      for (const name of names) await put(store, name, first);
      await client.hSet('attention:name:broken', 'entry', '{broken');
      await client.hSet('attention:name:copy', 'entry', JSON.stringify(storedLayer('a', first)));
      await client.set('attention:name:string', 'text');
      await client.hSet('attention:name:without-revision', { revision: 'none', entry: '' });
      await client.sAdd('attention:names', ['Upper', '../a', 'nothing']);
      for (let turn = 0; turn < 2; turn++) {
        expect((await store.list()).map(({ name }) => name)).toEqual(['a']);
        expect((await store.find('broken')).layer).toBeNull();
      }
      expect(told.map(({ details }) => Reflect.get(details, 'name')).sort()).toEqual(
        ['../a', 'Upper', 'broken', 'copy', 'string', 'without-revision'].sort(),
      );
      for (const name of names) await put(store, name, second);
      expect((await store.list()).map(({ name }) => name).sort()).toEqual(names);
      expect(await client.exists(`attention:content:${second.etag}`)).toBe(1);
      await store.close();
    });
  });

  it('replaces a content that was changed in memory, and leaves nothing behind', async () => {
    await asking(async (client) => {
      await client.flushAll();
      const store = await RedisStore.open({ url: server.url, logger });
      const content = contentOf('whole', 2.5 * MIB);
      const parts = [content.bytes.subarray(0, 100), content.bytes.subarray(100)];
      await store.writeContent(content.etag, parts);
      await store.replace('a', 0, storedLayer('a', content));
      const key = `attention:content:${content.etag}`;
      await client.setRange(key, 1.5 * MIB, 'damage');
      await store.writeContent(content.etag, parts);
      expect(Buffer.from((await store.readContent(content.etag)) as Uint8Array).equals(content.bytes)).toBe(
        true,
      );
      expect(await client.ttl(key)).toBe(-1);
      expect(await client.keys('attention:writing:*')).toEqual([]);
      await store.close();
    });
  });

  it('refuses to open where no server answers', async () => {
    await expect(RedisStore.open({ url: 'redis://127.0.0.1:1', logger })).rejects.toThrow('ECONNREFUSED');
  });

  it('refuses to open where the server does not let it in, with the reason that this gives', async () => {
    const locked = await RedisServer.start(['--requirepass', 'right']);
    try {
      await expect(RedisStore.open({ url: locked.url, logger })).rejects.toThrow('NOAUTH');
      const wrong = locked.url.replace('//', '//:wrong@');
      await expect(RedisStore.open({ url: wrong, logger })).rejects.toThrow('WRONGPASS');
      const store = await RedisStore.open({ url: locked.url.replace('//', '//:right@'), logger });
      expect(await store.list()).toEqual([]);
      await store.close();
    } finally {
      await locked.stop();
    }
  });
});

describe('a Redis that hangs', () => {
  const commandMs = 500;
  const unavailable = { code: 'store_unavailable', retryAfterSeconds: 2 };
  let store: RedisStore;
  beforeEach(async () => {
    await asking((client) => client.flushAll());
    store = await RedisStore.open({ url: server.url, logger, commandMs });
    await put(store, 'a', contentOf('content', 3 * MIB));
  });
  afterEach(async () => {
    server.goOn();
    await store.close();
  });

  it('is given up in time, whatever else is asked meanwhile, then at once, and used again when it goes on', async () => {
    server.hang();
    const startedMs = performance.now();
    const asked = [store.find('a')];
    const asking = setInterval(() => asked.push(store.find('a')), commandMs / 5);
    await expect(asked[0]).rejects.toMatchObject(unavailable);
    clearInterval(asking);
    expect(performance.now() - startedMs).toBeLessThan(3 * commandMs);
    for (const one of asked) await expect(one).rejects.toMatchObject(unavailable);
    const laterMs = performance.now();
    await expect(store.list()).rejects.toMatchObject(unavailable);
    await expect(store.writeContent('0', [Buffer.alloc(MIB)])).rejects.toMatchObject(unavailable);
    expect(performance.now() - laterMs).toBeLessThan(commandMs / 2);
    server.goOn();
    await expect
      .poll(() => store.find('a').catch(() => null), { timeout: 10_000 })
      .toMatchObject({ revision: 1 });
  });

  it('is given up though it takes what is sent', async () => {
    await asking((client) => client.clientPause(60_000, 'WRITE'));
    const content = contentOf('other', 3 * MIB);
    await expect(store.writeContent(content.etag, [content.bytes])).rejects.toMatchObject(unavailable);
    await asking((client) => client.clientUnpause());
  });

  it('is dropped though nothing is asked of it', async () => {
    const failed = Promise.withResolvers<string>();
    const quiet = await RedisStore.open({
      url: server.url,
      logger: { error: (details) => failed.resolve(String(Reflect.get(details, 'err'))) },
      commandMs,
    });
    server.hang();
    expect(await failed.promise).toContain('Socket timeout');
    await quiet.close();
  });

  it('does not keep the store from closing, also where something is waited for', async () => {
    server.hang();
    const waiting = expect(store.find('a')).rejects.toMatchObject(unavailable);
    const startedMs = performance.now();
    await store.close();
    await waiting;
    expect(performance.now() - startedMs).toBeLessThan(3 * commandMs);
  });

  it('is another one than a slow line, over which a content takes its time', async () => {
    const line = await SlowLine.to(server.url, { bytes: MIB / 4, everyMs: commandMs / 10 });
    const slow = await RedisStore.open({ url: line.url, logger, commandMs });
    const content = contentOf('slow', 4 * MIB);
    const startedMs = performance.now();
    await slow.writeContent(content.etag, [content.bytes]);
    expect(performance.now() - startedMs).toBeGreaterThan(commandMs);
    expect(await slow.readContent(content.etag)).not.toBeNull();
    await slow.close();
    await line.close();
  });
});

describe('services that share a Redis', () => {
  it('see what the others registered, also after Redis was killed and is back', async () => {
    await asking((client) => client.flushAll());
    const env = { STORE: 'redis', REDIS_URL: server.url, THREADS: '1' };
    const [one, other] = await Promise.all([startService({ env }), startService({ env })]);
    try {
      const made = await putLayer(`${one.url}/v1/layers/shared`, TWO_HEADS);
      expect(made.status).toBe(201);
      const answers = await Promise.all(
        [one, other].map(({ url }) => post(`${url}/v1/layers/shared/attention`, { embeddings: TOKENS })),
      );
      expect(answers[0].json.output).toEqual(answers[1].json.output);
      expect(answers[1].json.applied.layer.etag).toBe(made.json.etag);
      const raced = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          putLayer(
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
