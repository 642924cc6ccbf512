import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/store/memory.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf, pack } from '../../support/safetensors.ts';
import { engineReaches, listen, post, type ServiceOptions, send, type TestService } from '../support.ts';
import { put } from './support.ts';

/** A store that counts how often contents are read, and can lose them. */
class WatchedStore extends MemoryStore {
  readonly reads: string[] = [];
  readonly damaged = new Set<string>();

  override async readContent(etag: string): Promise<Uint8Array | null> {
    this.reads.push(etag);
    const bytes = await super.readContent(etag);
    if (bytes === null || !this.damaged.has(etag)) return bytes;
    const changed = Uint8Array.from(bytes);
    changed[changed.length - 1] ^= 1;
    const shared = new Uint8Array(new SharedArrayBuffer(changed.length));
    shared.set(changed);
    return shared;
  }
}

const WIDTH = 64;
const BODY_BYTES = 4 * WIDTH * WIDTH * 4;

/** The file of a layer of width 64 and four heads, one for each seed. */
function fileOf(seed: number): Uint8Array {
  const random = seeded(seed);
  const matrix = () => {
    const numbers = Float32Array.from({ length: WIDTH * WIDTH }, () => random.normal());
    return { dtype: 'F32', shape: [WIDTH, WIDTH], bytes: bytesOf(numbers) };
  };
  return pack({ w_q: matrix(), w_k: matrix(), w_v: matrix(), w_o: matrix() });
}

const TOKENS = {
  embeddings: Array.from({ length: 3 }, (_, row) =>
    Array.from({ length: WIDTH }, (_, i) => Math.sin(row + i)),
  ),
};

async function withService(
  options: ServiceOptions & { store: WatchedStore },
  test: (service: TestService, layers: string) => Promise<void>,
): Promise<void> {
  const service = await listen(options);
  try {
    await test(service, `${service.url}/v1/layers`);
  } finally {
    await service.close();
  }
}

const infoOf = async ({ url }: TestService) => (await send(`${url}/v1/info`)).json.layers;

describe('weights in memory', () => {
  it('are read at the first call, once for all that come meanwhile, and packed once', async () => {
    const store = new WatchedStore();
    await withService({ store, threads: 2 }, async (service, layers) => {
      const { json } = await put(`${layers}/one?heads=4`, fileOf(1));
      await put(`${layers}/same?heads=4`, fileOf(1));
      expect(await infoOf(service)).toEqual({ open: 0, packed: 0, bytes: 0, packed_bytes: 0 });
      const calls = Array.from({ length: 12 }, (_, index) =>
        post(`${layers}/${index % 2 ? 'one' : 'same'}/attention`, TOKENS),
      );
      const replies = await Promise.all(calls);
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
      expect(new Set(replies.map(({ json }) => JSON.stringify(json.output)))).toHaveLength(1);
      expect(store.reads).toEqual([json.etag]);
      const info = await infoOf(service);
      expect(info).toMatchObject({ open: 1, packed: 1 });
      expect(info.bytes).toBeGreaterThanOrEqual(BODY_BYTES + info.packed_bytes);
      expect(info.packed_bytes).toBeGreaterThanOrEqual(BODY_BYTES);
    });
  });

  it('are read for a request that has the only place there is', async () => {
    const limits = { queueRequests: 1 };
    await withService({ store: new WatchedStore(), threads: 1, limits }, async (_service, layers) => {
      await put(`${layers}/one?heads=4`, fileOf(1));
      const reply = await post(`${layers}/one/attention`, TOKENS);
      expect(reply.status).toBe(200);
    });
  });

  it('make room for others by least recent use, the packed ones first, and come again', async () => {
    const store = new WatchedStore();
    // Room for two layers with their packed weights and one without.
    const layerBytes = 5.5 * BODY_BYTES;
    await withService({ store, limits: { layerBytes } }, async (service, layers) => {
      const etags: string[] = [];
      for (const seed of [1, 2, 3])
        etags.push((await put(`${layers}/l${seed}?heads=4`, fileOf(seed))).json.etag);
      const call = (seed: number) => post(`${layers}/l${seed}/attention`, TOKENS);
      const [first] = [await call(1), await call(2)];
      expect(await infoOf(service)).toMatchObject({ open: 2, packed: 2 });
      await call(3);
      expect(await infoOf(service)).toMatchObject({ open: 3, packed: 2 });
      // The one that lost its packed weights is called without them, to the same bits, and packed again beside it.
      const stripped = await call(1);
      expect(stripped.json.output).toEqual(first.json.output);
      await engineReaches(service.engine, ({ requests }) => requests === 0);
      expect(await infoOf(service)).toMatchObject({ packed: 2 });
      expect((await infoOf(service)).bytes).toBeLessThanOrEqual(layerBytes);
      expect((await call(1)).json.output).toEqual(first.json.output);
      expect(store.reads.filter((etag) => etag === etags[0])).toHaveLength(1);
    });
  });

  it('are not kept where one layer is more than there is room for, and it answers all the same', async () => {
    const store = new WatchedStore();
    await withService({ store, limits: { layerBytes: 1000 } }, async (service, layers) => {
      await put(`${layers}/large?heads=4`, fileOf(1));
      for (const _ of [1, 2]) expect((await post(`${layers}/large/attention`, TOKENS)).status).toBe(200);
      expect(store.reads).toHaveLength(2);
      expect(await infoOf(service)).toMatchObject({ open: 0, bytes: 0 });
    });
  });

  it('count halves as the floats that they become', async () => {
    const store = new WatchedStore();
    await withService({ store }, async (service, layers) => {
      const matrix = {
        dtype: 'F16',
        shape: [WIDTH, WIDTH],
        bytes: bytesOf(new Float16Array(WIDTH * WIDTH).fill(0.5)),
      };
      const made = await put(
        `${layers}/half?heads=4`,
        pack({ w_q: matrix, w_k: matrix, w_v: matrix, w_o: matrix }),
      );
      expect(made.json.bytes).toBeLessThan(0.6 * BODY_BYTES);
      await post(`${layers}/half/attention`, TOKENS);
      const info = await infoOf(service);
      expect(info.bytes - info.packed_bytes).toBe(BODY_BYTES);
    });
  });
});

describe('a content that the store has changed', () => {
  it('is never used: calls and the file fail, the list leaves it out, and a new registration mends it', async () => {
    const store = new WatchedStore();
    await withService({ store }, async (_service, layers) => {
      const { json } = await put(`${layers}/hurt?heads=4`, fileOf(1));
      await put(`${layers}/sound?heads=4`, fileOf(2));
      store.damaged.add(json.etag);
      for (const reply of [
        await post(`${layers}/hurt/attention`, TOKENS),
        await send(`${layers}/hurt/projections`),
      ]) {
        expect([reply.status, reply.json.code]).toEqual([500, 'layer_damaged']);
        expect(reply.json.detail).toContain(json.etag);
      }
      const names = async () => (await send(layers)).json.layers.map(({ name }: { name: string }) => name);
      expect(await names()).toEqual(['sound']);
      expect((await post(`${layers}/sound/attention`, TOKENS)).status).toBe(200);
      store.damaged.clear();
      expect((await put(`${layers}/hurt?heads=4`, fileOf(1))).status).toBe(200);
      expect((await post(`${layers}/hurt/attention`, TOKENS)).status).toBe(200);
      expect(await names()).toEqual(['hurt', 'sound']);
      const { text: _text, headers } = await send(`${layers}/hurt/projections`);
      expect(headers.etag).toBe(`"${json.etag}"`);
      expect(createHash('sha256').update(fileOf(1)).digest('hex')).not.toBe(json.etag);
    });
  });
});

describe('a store that fails', () => {
  it('refuses a registration that finds no room, and leaves the old layer', async () => {
    class FullStore extends WatchedStore {
      isFull = false;
      override async writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void> {
        const { Problem } = await import('../../../src/domain/problem.ts');
        if (this.isFull) throw new Problem('insufficient_storage', 'The store of the layers is full.');
        await super.writeContent(etag, parts);
      }
    }
    const store = new FullStore();
    await withService({ store }, async (_service, layers) => {
      const { headers } = await put(`${layers}/kept?heads=4`, fileOf(1));
      store.isFull = true;
      const refused = await put(`${layers}/kept?heads=4`, fileOf(2));
      expect([refused.status, refused.json.code]).toEqual([507, 'insufficient_storage']);
      expect((await send(`${layers}/kept`)).headers.etag).toBe(headers.etag);
      expect((await post(`${layers}/kept/attention`, TOKENS)).status).toBe(200);
    });
  });

  it('gives up a change that others are quicker with each time', async () => {
    class BusyStore extends WatchedStore {
      override async replace(): Promise<boolean> {
        return false;
      }
    }
    await withService({ store: new BusyStore() }, async (_service, layers) => {
      const { status, json } = await put(`${layers}/raced?heads=4`, fileOf(1));
      expect([status, json.code]).toEqual([409, 'conflict']);
    });
  });
});
