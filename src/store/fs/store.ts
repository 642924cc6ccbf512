import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { isLayerName } from '../../domain/layer-name.ts';
import { Problem } from '../../domain/problem.ts';
import { isSameContent } from '../hash.ts';
import type { StoreLogger } from '../logger.ts';
import type { Entry, LayerStore, StoredLayer } from '../store.ts';
import { entryName, lastRevision, readEntry, writeEntry } from './entry-file.ts';
import {
  type FileSystem,
  isCode,
  isTemporary,
  isUnreadable,
  makeFolder,
  readShared,
  syncFolder,
  unlessMissing,
  writeDurably,
} from './files.ts';
import { keepRemoval, linkRemoval } from './removal.ts';
import { contentName, damagedName, sweep, unusedName } from './sweep.ts';
import { sweepNames } from './sweep-names.ts';

export interface FileStoreOptions {
  readonly folder: string;
  readonly logger: StoreLogger;
  readonly files?: FileSystem;
  /** Time by the clock that files are dated with, ms. */
  readonly now?: () => number;
}

/** How many names are looked up at a time. */
const AT_A_TIME = 16;
const RETRY_SECONDS = 1;
const SWEEP_EVERY_MS = 600_000;
/** What the file system says where there is no room. */
const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** What stands under a name; undefined where its entry is damaged or cannot be read. */
type FoundEntry = Pick<Entry, 'revision'> & { readonly layer: StoredLayer | null | undefined };

/**
 * Layers on disk:
 *
 *     contents/<sha256>.safetensors     contents that were registered, by their hash
 *     contents/<sha256>.unused          a content that no name has, for as long as somebody may still want it
 *     names/<name>/<revision>.json      what a name has, and for a while what it had; the highest revision counts
 *     removal.json                      the entry of a name that was taken away, for when the disk is full
 *
 * A change of a name is a new file beside the old ones, made by `link`, which succeeds for one of several processes that
 * want the same revision: so they need no lock, and none can be left behind. Nothing is ever changed in place.
 */
export class FileStore implements LayerStore {
  readonly #folder: string;
  readonly #contents: string;
  readonly #names: string;
  readonly #logger: StoreLogger;
  readonly #files: FileSystem;
  readonly #now: () => number;
  #sweeps: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  /** Files that were reported already. */
  readonly #reported = new Set<string>();

  private constructor({ folder, logger, files = fs, now = Date.now }: FileStoreOptions) {
    this.#folder = folder;
    this.#contents = join(folder, 'contents');
    this.#names = join(folder, 'names');
    this.#logger = logger;
    this.#files = files;
    this.#now = now;
  }

  /** Makes the folders where they are missing. Throws what the file system says where they cannot be made. */
  static async open(options: FileStoreOptions): Promise<FileStore> {
    const store = new FileStore(options);
    for (const folder of [store.#contents, store.#names]) {
      await makeFolder(store.#files, folder);
      // Another file may have its name.
      await store.#files.readdir(folder);
    }
    await keepRemoval(store.#files, options.folder);
    store.#sweepOften();
    return store;
  }

  list(): Promise<StoredLayer[]> {
    return this.#guarded(async () => (await this.#all()).flatMap(({ layer }) => layer ?? []));
  }

  find(name: string): Promise<Entry> {
    return this.#guarded(async () => {
      const { layer, revision } = await this.#find(name);
      return { layer: layer ?? null, revision };
    });
  }

  replace(name: string, revision: number, next: StoredLayer | null): Promise<boolean> {
    return this.#guarded(async () => {
      const folder = this.#folderOf(name);
      const current = lastRevision(await this.#revisions(folder));
      if (current !== revision) return false;
      if (revision === 0) {
        await makeFolder(this.#files, folder);
        await syncFolder(this.#files, this.#names);
      }
      try {
        await this.#writeEntry(folder, entryName(revision + 1), next);
      } catch (error) {
        if (isCode(error, 'EEXIST')) return false;
        throw error;
      }
      return true;
    });
  }

  async #writeEntry(folder: string, name: string, next: StoredLayer | null): Promise<void> {
    try {
      await writeDurably(this.#files, folder, name, [writeEntry(next)], 'link');
    } catch (error) {
      if (next !== null || !isCode(error, ...FULL)) throw error;
      const isRemoved = await linkRemoval(this.#files, this.#folder, { folder, name, nowMs: this.#now() });
      if (!isRemoved) throw error;
    }
  }

  writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void> {
    return this.#guarded(async () => {
      const path = join(this.#contents, contentName(etag));
      const present = await readShared(this.#files, path);
      if (present !== null) {
        if (await isSameContent(present, etag)) {
          // Whoever wrote it may not have come so far.
          await syncFolder(this.#files, this.#contents);
          return;
        }
        this.#report(path, 'A stored content is not what was registered; it is put aside.');
        await this.#files.rename(path, join(this.#contents, damagedName(etag, this.#now())));
      }
      await writeDurably(this.#files, this.#contents, contentName(etag), parts, 'rename');
    });
  }

  readContent(etag: string): Promise<Uint8Array | null> {
    return this.#guarded(async () => {
      const read = (name: string) => readShared(this.#files, join(this.#contents, name));
      // Its own name a second time: it may have got that back just then.
      const names = [contentName(etag), unusedName(etag), contentName(etag)];
      let bytes: Uint8Array | null = null;
      for (const name of names) bytes ??= await read(name);
      return bytes;
    });
  }

  /**
   * Takes contents that no name has one step nearer to their end, and removes what names had long ago; see `sweep` and
   * `sweepNames`. Happens by itself every ten minutes.
   */
  sweep(): Promise<void> {
    return this.#guarded(async () => {
      const files = this.#files;
      const nowMs = this.#now();
      await sweepNames({ files, folder: this.#names, nowMs });
      await sweep({
        files,
        folder: this.#contents,
        namedContents: () => this.#namedContents(),
        report: (path) => this.#report(path, 'A stored content is not what was registered; it is put aside.'),
        nowMs,
      });
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeps);
    await this.#sweeping;
  }

  #sweepOften(): void {
    const run = () => {
      // What the file system refuses is in the log by then, and the next sweep begins anew.
      this.#sweeping = this.sweep().catch(() => undefined);
    };
    this.#sweeps = setInterval(run, SWEEP_EVERY_MS).unref();
  }

  /** Every name's entry, in no order. */
  async #all(): Promise<FoundEntry[]> {
    const present = await this.#files.readdir(this.#names);
    const names = present.filter(isLayerName);
    for (const other of present) {
      if (!isLayerName(other)) this.#report(join(this.#names, other), 'This is no layer; it is left alone.');
    }
    const entries: FoundEntry[] = [];
    for (let at = 0; at < names.length; at += AT_A_TIME) {
      entries.push(...(await Promise.all(names.slice(at, at + AT_A_TIME).map((name) => this.#find(name)))));
    }
    return entries;
  }

  async #find(name: string): Promise<FoundEntry> {
    const folder = this.#folderOf(name);
    let revision = 0;
    let path = folder;
    let layer: StoredLayer | null | undefined;
    try {
      revision = lastRevision(await this.#revisions(folder));
      if (revision === 0) return { layer: null, revision };
      path = join(folder, entryName(revision));
      const bytes = await readShared(this.#files, path);
      layer = bytes === null ? undefined : readEntry(bytes);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
    // A copy of another name's folder is not what was registered under this one.
    if (layer && layer.name !== name) layer = undefined;
    if (layer === undefined) this.#report(path, 'The entry of a layer is damaged; the layer is left out.');
    return { layer, revision };
  }

  /** Throws a TypeError where the name could lead anywhere else. */
  #folderOf(name: string): string {
    if (!isLayerName(name)) throw new TypeError(`Not the name of a layer: ${JSON.stringify(name)}`);
    return join(this.#names, name);
  }

  /** What names have; null where the entry of one is damaged, for it may have had anything. */
  async #namedContents(): Promise<Set<string> | null> {
    const layers = (await this.#all()).map(({ layer }) => layer);
    if (layers.includes(undefined)) return null;
    return new Set(layers.flatMap((layer) => layer?.etag ?? []));
  }

  async #revisions(folder: string): Promise<string[]> {
    const names = (await unlessMissing(this.#files.readdir(folder))) ?? [];
    return names.filter((name) => !isTemporary(name));
  }

  #report(path: string, message: string): void {
    if (this.#reported.has(path)) return;
    this.#reported.add(path);
    this.#logger.error({ path }, message);
  }

  async #guarded<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      if (isCode(error, ...FULL)) {
        throw new Problem('insufficient_storage', 'The store of the layers is full; nothing was changed.');
      }
      this.#logger.error({ err: error }, 'The file system did not do what the store of the layers asked.');
      const detail = 'The store of the layers cannot be used at the moment.';
      throw new Problem('store_unavailable', detail, [], RETRY_SECONDS);
    }
  }
}
