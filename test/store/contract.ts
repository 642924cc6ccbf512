import { expect, it } from 'vitest';
import type { LayerStore } from '../../src/store/store.ts';
import { contentOf, storedLayer } from './support.ts';

/** What every store owes. `open` gives one that is empty; closing it is the test's. */
export function holdToContract(open: () => Promise<LayerStore>): void {
  const [first, second] = [contentOf('first'), contentOf('second')];

  async function withStore(test: (store: LayerStore) => Promise<void>): Promise<void> {
    const store = await open();
    try {
      await test(store);
    } finally {
      await store.close();
    }
  }

  /** Puts a content under a name, whatever stands there. */
  async function put(store: LayerStore, name: string, content: ReturnType<typeof contentOf>): Promise<void> {
    await store.writeContent(content.etag, [content.bytes]);
    const { revision } = await store.find(name);
    expect(await store.replace(name, revision, storedLayer(name, content))).toBe(true);
  }

  it('has nothing at first', async () => {
    await withStore(async (store) => {
      expect(await store.list()).toEqual([]);
      expect(await store.find('a')).toEqual({ layer: null, revision: 0 });
      expect(await store.readContent(first.etag)).toBeNull();
      expect(await store.replace('a', 0, null)).toBe(true);
      expect(await store.list()).toEqual([]);
    });
  });

  it('gives back what it was given, on shared memory', async () => {
    await withStore(async (store) => {
      await put(store, 'a', first);
      await put(store, 'a.b-c_0', second);
      expect((await store.find('a')).layer).toEqual(storedLayer('a', first));
      const list = await store.list();
      expect(list.map(({ name }) => name).sort()).toEqual(['a', 'a.b-c_0']);
      const bytes = await store.readContent(first.etag);
      expect(Buffer.from(bytes as Uint8Array)).toEqual(Buffer.from(first.bytes));
      expect(bytes?.buffer).toBeInstanceOf(SharedArrayBuffer);
    });
  });

  it('changes a name only where nobody else has', async () => {
    await withStore(async (store) => {
      await put(store, 'a', first);
      const { revision } = await store.find('a');
      for (const other of [revision - 1, revision + 1]) {
        await store.writeContent(second.etag, [second.bytes]);
        expect(await store.replace('a', other, storedLayer('a', second))).toBe(false);
      }
      expect((await store.find('a')).layer?.etag).toBe(first.etag);
      // A store may have dropped what nobody came to have.
      await store.writeContent(second.etag, [second.bytes]);
      expect(await store.replace('a', revision, storedLayer('a', second))).toBe(true);
      expect(await store.replace('a', revision, storedLayer('a', first))).toBe(false);
      expect((await store.find('a')).layer?.etag).toBe(second.etag);
    });
  });

  it('lets one of many through', async () => {
    await withStore(async (store) => {
      const contents = Array.from({ length: 20 }, (_, index) => contentOf(`racer ${index}`));
      const results = await Promise.all(
        contents.map(async (content) => {
          await store.writeContent(content.etag, [content.bytes]);
          return store.replace('a', 0, storedLayer('a', content));
        }),
      );
      expect(results.filter((isIn) => isIn)).toHaveLength(1);
      expect((await store.find('a')).layer?.etag).toBe(contents[results.indexOf(true)].etag);
    });
  });

  it('takes a name away, which is a change like another, and takes it again', async () => {
    await withStore(async (store) => {
      await put(store, 'a', first);
      const { revision } = await store.find('a');
      expect(await store.replace('a', revision, null)).toBe(true);
      const gone = await store.find('a');
      expect(gone.layer).toBeNull();
      expect(gone.revision).toBeGreaterThan(revision);
      expect(await store.list()).toEqual([]);
      expect(await store.replace('a', 0, storedLayer('a', first))).toBe(false);
      await put(store, 'a', first);
      expect((await store.list()).map(({ etag }) => etag)).toEqual([first.etag]);
      expect(await store.readContent(first.etag)).not.toBeNull();
    });
  });

  it('keeps a content as long as a name has it', async () => {
    await withStore(async (store) => {
      await put(store, 'a', first);
      await put(store, 'b', first);
      await put(store, 'a', second);
      expect(await store.readContent(first.etag)).not.toBeNull();
    });
  });
}
