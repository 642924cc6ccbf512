import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { Problem } from '../../domain/problem.ts';
import { isSameContent } from '../hash.ts';
import type { StoreLogger } from '../logger.ts';
import type { Entry, LayerStore, StoredLayer } from '../store.ts';
import { entryName, lastRevision, readEntry, writeEntry } from './entry-file.ts';
import {
  type FileSystem,
  isCode,
  isTemporary,
  readShared,
  syncFolder,
  unlessMissing,
  writeDurably,
} from './files.ts';

export interface FileStoreOptions {
  readonly folder: string;
  readonly logger: StoreLogger;
  readonly files?: FileSystem;
}

/** How many names are looked up at a time. */
const AT_A_TIME = 16;
const RETRY_SECONDS = 1;

/**
 * Layers on disk:
 *
 *     contents/<sha256>.safetensors     every content that was registered, by its hash
 *     names/<name>/<revision>.json      what a name has had; the highest revision counts
 *
 * A change of a name is a new file beside the old ones, made by `link`, which succeeds for one of several processes that
 * want the same revision: so they need no lock, and none can be left behind. Nothing is ever changed in place.
 */
export class FileStore implements LayerStore {
  readonly #contents: string;
  readonly #names: string;
  readonly #logger: StoreLogger;
  readonly #files: FileSystem;
  /** Files that were reported already. */
  readonly #reported = new Set<string>();

  private constructor({ folder, logger, files = fs }: FileStoreOptions) {
    this.#contents = join(folder, 'contents');
    this.#names = join(folder, 'names');
    this.#logger = logger;
    this.#files = files;
  }

  /** Makes the folders where they are missing. Throws what the file system says where they cannot be made. */
  static async open(options: FileStoreOptions): Promise<FileStore> {
    const store = new FileStore(options);
    for (const folder of [store.#contents, store.#names])
      await store.#files.mkdir(folder, { recursive: true });
    return store;
  }

  list(): Promise<StoredLayer[]> {
    return this.#guarded(async () => {
      const names = await this.#files.readdir(this.#names);
      const layers: StoredLayer[] = [];
      for (let at = 0; at < names.length; at += AT_A_TIME) {
        const entries = await Promise.all(names.slice(at, at + AT_A_TIME).map((name) => this.#find(name)));
        for (const { layer } of entries) if (layer !== null) layers.push(layer);
      }
      return layers;
    });
  }

  find(name: string): Promise<Entry> {
    return this.#guarded(() => this.#find(name));
  }

  replace(name: string, revision: number, next: StoredLayer | null): Promise<boolean> {
    return this.#guarded(async () => {
      const folder = join(this.#names, name);
      const current = lastRevision(await this.#revisions(folder));
      if (current !== revision) return false;
      if (revision === 0) {
        await this.#files.mkdir(folder, { recursive: true });
        await syncFolder(this.#files, this.#names);
      }
      try {
        await writeDurably(this.#files, folder, entryName(revision + 1), [writeEntry(next)], 'link');
      } catch (error) {
        if (isCode(error, 'EEXIST')) return false;
        throw error;
      }
      return true;
    });
  }

  writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void> {
    return this.#guarded(async () => {
      const path = this.#contentPath(etag);
      const present = await readShared(this.#files, path);
      if (present !== null) {
        if (await isSameContent(present, etag)) {
          // Whoever wrote it may not have come so far.
          await syncFolder(this.#files, this.#contents);
          return;
        }
        this.#report(path, 'A stored content is not what was registered; it is put aside.');
        await this.#files.rename(path, `${path}.damaged-${Date.now()}`);
      }
      await writeDurably(this.#files, this.#contents, `${etag}.safetensors`, parts, 'rename');
    });
  }

  readContent(etag: string): Promise<Uint8Array | null> {
    return this.#guarded(() => readShared(this.#files, this.#contentPath(etag)));
  }

  async close(): Promise<void> {}

  async #find(name: string): Promise<Entry> {
    const folder = join(this.#names, name);
    const revision = lastRevision(await this.#revisions(folder));
    if (revision === 0) return { layer: null, revision };
    const path = join(folder, entryName(revision));
    const bytes = await readShared(this.#files, path);
    const layer = bytes === null ? undefined : readEntry(bytes);
    if (layer === undefined) this.#report(path, 'The entry of a layer is damaged; the layer is left out.');
    return { layer: layer ?? null, revision };
  }

  async #revisions(folder: string): Promise<string[]> {
    const names = (await unlessMissing(this.#files.readdir(folder))) ?? [];
    return names.filter((name) => !isTemporary(name));
  }

  #contentPath(etag: string): string {
    return join(this.#contents, `${etag}.safetensors`);
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
      if (isCode(error, 'ENOSPC', 'EDQUOT')) {
        throw new Problem('insufficient_storage', 'The store of the layers is full; nothing was changed.');
      }
      this.#logger.error({ err: error }, 'The file system did not do what the store of the layers asked.');
      const detail = 'The store of the layers cannot be used at the moment.';
      throw new Problem('store_unavailable', detail, [], RETRY_SECONDS);
    }
  }
}
