import * as fs from 'node:fs/promises';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { FileSystem } from '../../src/store/fs/files.ts';
import { FileStore } from '../../src/store/fs/store.ts';
import type { LayerStore } from '../../src/store/store.ts';
import { holdToContract } from './contract.ts';
import {
  contentOf,
  failing,
  fileError,
  listener,
  OPENING_CALLS,
  put,
  storedLayer,
  withFolder,
} from './support.ts';

const [first, second] = [contentOf('first', 5000), contentOf('second', 5000)];

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

describe('the file store', () => {
  holdToContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'layers-'));
    folders.push(folder);
    return FileStore.open({ folder, logger: listener().logger });
  });

  it('has everything again after a restart, and nothing that was only begun', async () => {
    await withFolder(async (folder) => {
      const { logger, told } = listener();
      const store = await FileStore.open({ folder, logger });
      await put(store, 'a', first);
      await put(store, 'a', second);
      await put(store, 'b', first);
      await writeFile(join(folder, 'contents', '.writing-1'), 'half');
      await writeFile(join(folder, 'names', 'a', '.writing-2'), 'half');
      const again = await FileStore.open({ folder, logger });
      expect((await again.list()).map(({ name, etag }) => [name, etag]).sort()).toEqual([
        ['a', second.etag],
        ['b', first.etag],
      ]);
      expect(told).toEqual([]);
    });
  });

  it('lists its layers beside whatever else lies there, and tells of it once', async () => {
    await withFolder(async (folder) => {
      const { logger, told } = listener();
      const store = await FileStore.open({ folder, logger });
      await put(store, 'a', first);
      await put(store, 'broken', first);
      const names = join(folder, 'names');
      await writeFile(join(names, '.DS_Store'), '');
      await writeFile(join(names, 'file'), '');
      await cp(join(names, 'a'), join(names, 'Copy'), { recursive: true });
      await cp(join(names, 'a'), join(names, 'copy'), { recursive: true });
      await mkdir(join(names, 'broken', '000000000009.json'));
      for (let turn = 0; turn < 2; turn++) {
        expect((await store.list()).map(({ name }) => name)).toEqual(['a']);
        await store.sweep();
      }
      const paths = told.map(({ details }) => Reflect.get(details, 'path') as string);
      expect(paths.map((path) => relative(names, path)).sort()).toEqual(
        ['.DS_Store', 'Copy', 'broken/000000000009.json', 'copy/000000000001.json', 'file'].sort(),
      );
      expect(await store.find('file')).toEqual({ layer: null, revision: 0 });
      // What is damaged can be registered again.
      await put(store, 'broken', second);
      expect((await store.find('broken')).layer?.etag).toBe(second.etag);
    });
  });

  it('refuses to open where it can have no folder', async () => {
    await withFolder(async (folder) => {
      const file = join(folder, 'file');
      await writeFile(file, '');
      await mkdir(join(folder, 'taken'));
      await writeFile(join(folder, 'taken', 'contents'), '');
      for (const [at, code] of [
        ['/proc/no/layers', 'ENOENT'],
        [join(file, 'layers'), 'ENOTDIR'],
        [join(folder, 'taken'), 'ENOTDIR'],
      ]) {
        const opening = FileStore.open({ folder: at, logger: listener().logger });
        await expect(opening, at).rejects.toMatchObject({ code });
      }
    });
  });

  it.each(['..', '../names/a', './a', 'a//', '/etc', 'A', 'a\0b', ''])('has no layer %j', async (name) => {
    await withFolder(async (folder) => {
      const store = await FileStore.open({ folder, logger: listener().logger });
      await put(store, 'a', first);
      await expect(store.find(name)).rejects.toThrow();
      await expect(store.replace(name, 0, null)).rejects.toThrow();
      expect(await readdir(folder)).toEqual(['contents', 'names', 'removal.json']);
      expect(await readdir(join(folder, 'names'))).toEqual(['a']);
    });
  });

  it('is one store for several processes', async () => {
    await withFolder(async (folder) => {
      const { logger } = listener();
      const stores = await Promise.all(Array.from({ length: 8 }, () => FileStore.open({ folder, logger })));
      await stores[0].writeContent(first.etag, [first.bytes]);
      for (let revision = 0; revision < 10; revision++) {
        const results = await Promise.all(
          stores.map((store) => store.replace('a', revision, storedLayer('a', first))),
        );
        expect(results.filter((isIn) => isIn)).toHaveLength(1);
        for (const store of stores) expect((await store.find('a')).revision).toBe(revision + 1);
      }
    });
  });

  it.each([
    ['cut short', (path: string) => truncate(path, 40)],
    ['empty', (path: string) => truncate(path, 0)],
    ['longer', (path: string) => appendFile(path, ' ')],
    [
      'changed',
      async (path: string) =>
        writeFile(path, (await readFile(path, 'utf8')).replace('"heads":2', '"heads":4')),
    ],
  ])('leaves an entry out that is %s, reports it once, and does not delete it', async (_what, damage) => {
    await withFolder(async (folder) => {
      const { logger, told } = listener();
      const store = await FileStore.open({ folder, logger });
      await put(store, 'a', first);
      await put(store, 'b', second);
      const path = join(folder, 'names', 'a', '000000000001.json');
      await damage(path);
      const damaged = await readFile(path);
      expect((await store.list()).map(({ name }) => name)).toEqual(['b']);
      expect((await store.find('a')).layer).toBeNull();
      expect(told).toEqual([{ details: { path }, message: expect.stringContaining('left out') }]);
      await put(store, 'a', second);
      expect((await store.find('a')).layer?.etag).toBe(second.etag);
      expect(await readFile(path)).toEqual(damaged);
    });
  });

  it('puts a content aside that is not what was written, where the right one comes again', async () => {
    await withFolder(async (folder) => {
      const { logger, told } = listener();
      const store = await FileStore.open({ folder, logger });
      await put(store, 'a', first);
      const path = join(folder, 'contents', `${first.etag}.safetensors`);
      await writeFile(path, first.bytes.subarray(0, 100));
      await store.writeContent(first.etag, [first.bytes]);
      expect(await readFile(path)).toEqual(first.bytes);
      const names = await readdir(join(folder, 'contents'));
      expect(names.filter((name) => name.startsWith(`${first.etag}.safetensors.damaged-`))).toHaveLength(1);
      expect(told).toHaveLength(1);
    });
  });
});

describe('a disk on which nothing can be written', () => {
  const full: FileSystem = {
    ...fs,
    open: async (path, flags) => {
      if (flags !== 'r') throw fileError('ENOSPC');
      return fs.open(path, flags);
    },
  };

  it('has its layers taken away all the same, one after the other, and registered again when there is room', async () => {
    await withFolder(async (folder) => {
      const { logger, told } = listener();
      const healthy = await FileStore.open({ folder, logger });
      for (const name of ['a', 'b']) await put(healthy, name, first);
      const store = await FileStore.open({ folder, logger, files: full });
      await expect(put(store, 'a', second)).rejects.toMatchObject({ code: 'insufficient_storage' });
      for (const name of ['a', 'b']) {
        expect(await store.replace(name, 1, null)).toBe(true);
        expect(await healthy.find(name)).toEqual({ layer: null, revision: 2 });
        expect(await store.replace(name, 1, null)).toBe(false);
      }
      await put(healthy, 'a', second);
      expect((await store.list()).map(({ etag }) => etag)).toEqual([second.etag]);
      expect(told).toEqual([]);
    });
  });

  it('says so where no entry is kept that a name could have', async () => {
    await withFolder(async (folder) => {
      const { logger } = listener();
      await put(await FileStore.open({ folder, logger }), 'a', first);
      for (const damage of [
        () => writeFile(join(folder, 'removal.json'), 'half'),
        () => rm(join(folder, 'removal.json')),
      ]) {
        await damage();
        const store = await FileStore.open({ folder, logger, files: full });
        await expect(store.replace('a', 1, null)).rejects.toMatchObject({ code: 'insufficient_storage' });
        expect((await store.find('a')).layer?.etag).toBe(first.etag);
      }
    });
  });

  it('leaves what a name had to those who read it, as after any other change', async () => {
    await withFolder(async (folder) => {
      const { logger } = listener();
      await put(await FileStore.open({ folder, logger }), 'a', first);
      const store = await FileStore.open({ folder, logger, files: full });
      const longAgo = Date.now() / 1000 - 1e6;
      await fs.utimes(join(folder, 'removal.json'), longAgo, longAgo);
      await store.replace('a', 1, null);
      await store.sweep();
      expect(await readdir(join(folder, 'names', 'a'))).toHaveLength(2);
    });
  });
});

describe.each([
  ['ENOSPC', 'insufficient_storage', 507],
  ['EDQUOT', 'insufficient_storage', 507],
  ['EIO', 'store_unavailable', 503],
])('each call of the file system that fails with %s', (code, problem, status) => {
  /** How many calls a change makes where none fails. */
  async function callsOf(change: (store: LayerStore) => Promise<void>): Promise<string[]> {
    let made: string[] = [];
    await withFolder(async (folder) => {
      await put(await FileStore.open({ folder, logger: listener().logger }), 'a', first);
      const { files, calls } = failing(Number.POSITIVE_INFINITY, code);
      const store = await FileStore.open({ folder, logger: listener().logger, files });
      calls.length = 0;
      await change(store);
      made = [...calls];
    });
    return made;
  }

  it.each([
    ['replaced', (store: LayerStore) => put(store, 'a', second), second.etag],
    ['taken away', async (store: LayerStore) => void (await store.replace('a', 1, null)), null],
  ])('leaves the old or the new where a layer is %s, and never half', async (_what, change, wanted) => {
    const total = (await callsOf(change)).length;
    expect(total).toBeGreaterThan(6);
    const outcomes = new Set<string | null>();
    for (let at = 0; at < total; at++) {
      await withFolder(async (folder) => {
        const { logger } = listener();
        const healthy = await FileStore.open({ folder, logger });
        await put(healthy, 'a', first);
        const { files, calls } = failing(at + OPENING_CALLS, code);
        const store = await FileStore.open({ folder, logger, files });
        const failure = await change(store).then(
          () => null,
          (error) => error,
        );
        const failed = calls[at + OPENING_CALLS];
        // What is left where a file cannot be removed is no failure of the change, and to take away needs no room.
        const mayFail =
          wanted !== null || code === 'EIO' || !['open', 'write', 'sync', 'close', 'link'].includes(failed);
        if (failed !== 'unlink' && mayFail)
          expect(failure, `call ${at}, ${failed}`).toMatchObject({ code: problem, status });
        const { layer } = await (await FileStore.open({ folder, logger: listener().logger })).find('a');
        const etag = layer?.etag ?? null;
        expect([first.etag, wanted]).toContain(etag);
        if (failure === null) expect(etag).toBe(wanted);
        outcomes.add(etag);
        if (layer !== null) {
          const bytes = await healthy.readContent(layer.etag);
          expect(Buffer.from(bytes as Uint8Array)).toEqual(
            layer.etag === first.etag ? first.bytes : second.bytes,
          );
        }
        // And the same change works once the file system does.
        await change(healthy);
        expect((await healthy.find('a')).layer?.etag ?? null).toBe(wanted);
      });
    }
    expect(outcomes).toContain(first.etag);
  });
});
