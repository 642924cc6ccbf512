import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileStore } from '../../src/store/fs/store.ts';
import { UNUSED_MS } from '../../src/store/fs/sweep.ts';
import { UNFINISHED_MS } from '../../src/store/fs/sweep-names.ts';
import { contentOf, failing, fileError, OPENING_CALLS, storedLayer, withFolder } from './support.ts';

const [first, second] = [contentOf('first', 5000), contentOf('second', 5000)];
type Content = typeof first;

/** Stores on one folder, as processes have them, and one clock for all, which goes on when it is told to. */
class Place {
  readonly folder: string;
  readonly told: string[] = [];
  passedMs = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  open(files = fs as never): Promise<FileStore> {
    const logger = { error: (_details: object, message: string) => void this.told.push(message) };
    return FileStore.open({ folder: this.folder, logger, files, now: () => Date.now() + this.passedMs });
  }

  /** Lets the time pass after which what nobody has used takes its next step. */
  wait(): void {
    this.passedMs += UNUSED_MS + 1000;
  }

  async sweepAll(times = 3): Promise<void> {
    for (let time = 0; time < times; time++) {
      this.wait();
      await (await this.open()).sweep();
    }
  }

  async contents(): Promise<string[]> {
    return (await fs.readdir(join(this.folder, 'contents'))).sort();
  }
}

function withPlace(test: (place: Place) => Promise<void>): Promise<void> {
  return withFolder((folder) => test(new Place(folder)));
}

async function name(store: FileStore, as: string, content: Content | null): Promise<void> {
  const { revision } = await store.find(as);
  const layer = content === null ? null : storedLayer(as, content);
  expect(await store.replace(as, revision, layer)).toBe(true);
}

async function put(store: FileStore, as: string, content: Content): Promise<void> {
  await store.writeContent(content.etag, [content.bytes]);
  await name(store, as, content);
}

async function expectThere(store: FileStore, { etag, bytes }: Content): Promise<void> {
  expect(Buffer.from((await store.readContent(etag)) ?? [])).toEqual(bytes);
}

const file = ({ etag }: Content) => `${etag}.safetensors`;
const unused = ({ etag }: Content) => `${etag}.unused`;

describe('contents that no name has', () => {
  it.each([
    ['replaced', (store: FileStore) => put(store, 'a', second), [second]],
    ['taken away', (store: FileStore) => name(store, 'a', null), []],
  ])('go some time after their layer was %s', async (_what, change, left) => {
    await withPlace(async (place) => {
      const store = await place.open();
      await put(store, 'a', first);
      await change(store);
      await store.sweep();
      expect(await place.contents()).toContain(file(first));
      place.wait();
      await store.sweep();
      expect(await place.contents()).toEqual([...left.map(file), unused(first)].sort());
      await store.sweep();
      await expectThere(store, first);
      place.wait();
      await store.sweep();
      expect(await place.contents()).toEqual(left.map(file));
      expect(await store.readContent(first.etag)).toBeNull();
      for (const content of left) await expectThere(store, content);
      expect(place.told).toEqual([]);
    });
  });

  it('stay as long as one name of several has them', async () => {
    await withPlace(async (place) => {
      const store = await place.open();
      await put(store, 'a', first);
      await put(store, 'b', first);
      await name(store, 'a', null);
      await place.sweepAll();
      expect(await place.contents()).toEqual([file(first)]);
    });
  });

  it('stay where the entry of a name is damaged, which may have had them', async () => {
    await withPlace(async (place) => {
      const store = await place.open();
      await put(store, 'a', first);
      await put(store, 'b', second);
      await name(store, 'b', null);
      const entry = join(place.folder, 'names', 'a', '000000000001.json');
      await fs.truncate(entry, 40);
      await place.sweepAll();
      expect(await place.contents()).toEqual([file(first), file(second)].sort());
      expect(place.told).toContainEqual(expect.stringContaining('left out'));
      await put(store, 'a', first);
      await place.sweepAll();
      expect(await place.contents()).toEqual([file(first)]);
      expect((await fs.stat(entry)).size).toBe(40);
    });
  });

  it('are put aside and told of where they are damaged, and not deleted', async () => {
    await withPlace(async (place) => {
      const store = await place.open();
      await put(store, 'a', first);
      await name(store, 'a', null);
      await fs.truncate(join(place.folder, 'contents', file(first)), 100);
      await place.sweepAll(5);
      const [left, ...more] = await place.contents();
      expect(more).toEqual([]);
      expect(left).toMatch(`${file(first)}.damaged-`);
      expect((await fs.stat(join(place.folder, 'contents', left))).size).toBe(100);
      expect(place.told).toEqual([expect.stringContaining('put aside')]);
    });
  });

  it('and files that were only begun go, and nothing else that lies there', async () => {
    await withPlace(async (place) => {
      const store = await place.open();
      await put(store, 'a', first);
      const others = [`${file(first)}.damaged-1`, `${first.etag}.txt`, 'notes.safetensors', 'x.unused'];
      for (const other of [...others, '.writing-1'])
        await fs.writeFile(join(place.folder, 'contents', other), 'text');
      await store.sweep();
      expect(await place.contents()).toContain('.writing-1');
      await place.sweepAll();
      expect(await place.contents()).toEqual([file(first), ...others].sort());
    });
  });

  it('come back when they are registered again, at whatever step they are', async () => {
    for (let sweeps = 0; sweeps < 4; sweeps++) {
      await withPlace(async (place) => {
        const store = await place.open();
        await put(store, 'a', first);
        await name(store, 'a', null);
        await place.sweepAll(sweeps);
        await put(store, 'b', first);
        await expectThere(store, first);
        await place.sweepAll();
        await expectThere(store, first);
        expect(await place.contents()).toEqual([file(first)]);
      });
    }
  });
});

describe('what a name had before', () => {
  const entry = (number: number) => `00000000000${number}.json`;
  const entriesOf = async ({ folder }: Place) => (await fs.readdir(join(folder, 'names', 'a'))).sort();

  async function replaceTwice(store: FileStore): Promise<void> {
    await put(store, 'a', first);
    await put(store, 'a', second);
    await put(store, 'a', first);
  }

  it('goes when what it has has stood for some time', async () => {
    await withPlace(async (place) => {
      const store = await place.open();
      await replaceTwice(store);
      await store.sweep();
      expect(await entriesOf(place)).toEqual([1, 2, 3].map(entry));
      place.wait();
      await store.sweep();
      expect(await entriesOf(place)).toEqual([entry(3)]);
      expect((await store.find('a')).layer?.etag).toBe(first.etag);
      expect(await store.replace('a', 2, null)).toBe(false);
      await name(store, 'a', null);
      await place.sweepAll(1);
      expect(await entriesOf(place)).toEqual([entry(4)]);
      expect(await store.find('a')).toEqual({ layer: null, revision: 4 });
      expect(place.told).toEqual([]);
    });
  });

  it('stays where what it has is damaged', async () => {
    await withPlace(async (place) => {
      await replaceTwice(await place.open());
      await fs.truncate(join(place.folder, 'names', 'a', entry(3)), 40);
      await place.sweepAll();
      expect(await entriesOf(place)).toEqual([1, 2, 3].map(entry));
    });
  });

  it('goes with entries that were only begun, and nothing else that lies there', async () => {
    await withPlace(async (place) => {
      const store = await place.open();
      await replaceTwice(store);
      for (const other of ['notes.txt', '1.json', '.writing-1'])
        await fs.writeFile(join(place.folder, 'names', 'a', other), 'text');
      await place.sweepAll(1);
      expect(await entriesOf(place)).toContain('.writing-1');
      place.passedMs += UNFINISHED_MS;
      await place.sweepAll(1);
      expect(await entriesOf(place)).toEqual([entry(3), '1.json', 'notes.txt']);
    });
  });

  it('is never all that is left, whichever call of the sweep fails', async () => {
    const sweepWith = async ({ files, calls }: ReturnType<typeof failing>, place: Place) => {
      await replaceTwice(await place.open());
      place.wait();
      const store = await place.open(files as never);
      const opening = calls.length;
      await store.sweep().catch(() => undefined);
      const { layer, revision } = await (await place.open()).find('a');
      expect([layer?.etag, revision]).toEqual([first.etag, 3]);
      return { opening, total: calls.length };
    };
    let [from, to] = [0, 0];
    await withPlace(async (place) => {
      const calls = await sweepWith(failing(Number.POSITIVE_INFINITY, ''), place);
      [from, to] = [calls.opening, calls.total];
    });
    expect(to - from).toBeGreaterThan(10);
    for (let at = from; at < to; at++) {
      await withPlace(async (place) => void (await sweepWith(failing(at, 'EIO'), place)));
    }
  });
});

/** How many calls of the file system something makes. */
async function callsOf(run: (place: Place, store: FileStore) => Promise<void>): Promise<number> {
  let made = 0;
  await withPlace(async (place) => {
    const { files, calls } = failing(Number.POSITIVE_INFINITY, '');
    const store = await place.open(files as never);
    const before = calls.length;
    await run(place, store);
    made = calls.length - before;
  });
  return made;
}

describe('a registration', () => {
  /** The content is there, old, and nobody's; the next sweep calls it unused. */
  async function abandon(place: Place): Promise<void> {
    const store = await place.open();
    await put(store, 'old', first);
    await name(store, 'old', null);
    place.wait();
  }

  it('loses nothing to a sweep of another process, before whichever of its calls that comes', async () => {
    const total = await callsOf(async (place, store) => {
      await abandon(place);
      await put(store, 'a', first);
    });
    expect(total).toBeGreaterThan(10);
    let met = 0;
    for (let at = 0; at < total; at++) {
      await withPlace(async (place) => {
        await abandon(place);
        const other = await place.open();
        const files = before(at + OPENING_CALLS, () => other.sweep());
        const store = await place.open(files as never);
        await put(store, 'a', first);
        if ((await place.contents()).includes(unused(first))) met++;
        await expectThere(store, first);
        expect((await store.find('a')).layer?.etag).toBe(first.etag);
        await place.sweepAll();
        await expectThere(other, first);
        expect(await place.contents()).toEqual([file(first)]);
        expect(place.told).toEqual([]);
      });
    }
    expect(met).toBeGreaterThan(0);
  });

  /** The real file system, which before the call with this number does something else. */
  function before(at: number, act: () => Promise<void>): unknown {
    let made = 0;
    const turn = async () => void (made++ === at && (await act()));
    const wrap = <Target extends object>(target: Target): Target =>
      new Proxy(target, {
        get(_target, key) {
          const member = Reflect.get(target, key);
          if (typeof member !== 'function') return member;
          return async (...rest: unknown[]) => {
            await turn();
            const result = await member.apply(target, rest);
            return key === 'open' ? wrap(result) : result;
          };
        },
      });
    return wrap({ ...fs });
  }
});

describe('a sweep', () => {
  /** One content that a name has under the name for unused ones, one that has had its time, one to be called unused. */
  async function prepare(place: Place): Promise<void> {
    const third = contentOf('third', 5000);
    const store = await place.open();
    await put(store, 'a', first);
    await put(store, 'b', second);
    await name(store, 'a', null);
    await name(store, 'b', null);
    place.wait();
    await store.sweep();
    await name(store, 'a', first);
    await put(store, 'c', third);
    await name(store, 'c', null);
    place.wait();
  }

  it.each(['fails', 'ends for good'])('that %s at any call of the file system loses nothing', async (how) => {
    const total = (await callsOf(async (place, store) => {
      await prepare(place);
      await store.sweep();
    })) as number;
    expect(total).toBeGreaterThan(15);
    for (let at = 0; at < total; at++) {
      await withPlace(async (place) => {
        await prepare(place);
        const files =
          how === 'fails' ? failing(at + OPENING_CALLS, 'EIO').files : endingAt(at + OPENING_CALLS);
        const store = await place.open(files as never);
        await store.sweep().catch(() => undefined);
        const other = await place.open();
        await expectThere(other, first);
        await place.sweepAll();
        await expectThere(other, first);
        expect(await place.contents()).toEqual([file(first)]);
      });
    }
  });

  it('of several processes at the same time is one', async () => {
    await withPlace(async (place) => {
      await prepare(place);
      const stores = await Promise.all(Array.from({ length: 8 }, () => place.open()));
      await Promise.all(stores.map((store) => store.sweep()));
      await expectThere(stores[0], first);
      expect(await place.contents()).not.toContain(unused(second));
      place.wait();
      await Promise.all(stores.map((store) => store.sweep()));
      await expectThere(stores[0], first);
      expect(await place.contents()).toEqual([file(first)]);
      expect(place.told).toEqual([]);
    });
  });

  /** The real file system, which does nothing from a call on, as for a process that was killed. */
  function endingAt(at: number): unknown {
    let made = 0;
    return new Proxy(fs, {
      get: (target, key) => {
        const member = Reflect.get(target, key) as (...rest: unknown[]) => unknown;
        return async (...rest: unknown[]) => {
          if (made++ >= at) throw fileError('EIO');
          return member(...rest);
        };
      },
    });
  }
});
