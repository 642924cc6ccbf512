import { isLayerName } from '../../domain/layer-name.ts';
import { Problem } from '../../domain/problem.ts';
import { isSameContent } from '../hash.ts';
import type { StoreLogger } from '../logger.ts';
import type { Entry, LayerStore, StoredLayer } from '../store.ts';
import { Connection } from './connection.ts';
import { keep, readPieces, writePieces } from './contents.ts';
import { NAMES, nameKey, PREFIX } from './keys.ts';
import { REPLACE } from './scripts.ts';

/** Commands without an answer for so long have failed, though the server may still carry them out. */
const COMMAND_MS = 10_000;
const RETRY_SECONDS = 2;
/** How many names are looked up at a time. */
const AT_A_TIME = 100;
/** What is found where a key is of another kind than ours: an entry that cannot be read. */
const NO_HASH: Readonly<Record<string, string>> = { entry: 'of another kind' };

export interface RedisStoreOptions {
  readonly url: string;
  readonly logger: StoreLogger;
  /** How long the server may answer nothing while something is waited for, ms. */
  readonly commandMs?: number;
}

/**
 * Layers in Redis, shared by every process that uses the same database:
 *
 *     attention:names            names that have a layer (set)
 *     attention:name:<name>      revision, etag and entry of a name (hash)
 *     attention:content:<etag>   a content (string), and attention:users:<etag> the names that have it (set)
 *     attention:writing:<id>     a content that is being written (string), for a few minutes
 *
 * Changes are scripts, which Redis runs one at a time: a content is dropped with the last name that has it. How durable a
 * change is that was answered is a matter of the server's own settings (appendonly, appendfsync).
 */
export class RedisStore implements LayerStore {
  readonly #connection: Connection;
  readonly #logger: StoreLogger;
  /** Names that were reported already. */
  readonly #reported = new Set<string>();

  private constructor(connection: Connection, logger: StoreLogger) {
    this.#connection = connection;
    this.#logger = logger;
  }

  /** Connects. Throws what the server says against it, or that it does not answer within seconds. */
  static async open({ url, logger, commandMs = COMMAND_MS }: RedisStoreOptions): Promise<RedisStore> {
    const connection = await Connection.open({ url, logger, commandMs }, (client) => client.sCard(NAMES));
    return new RedisStore(connection, logger);
  }

  list(): Promise<StoredLayer[]> {
    return this.#guarded(async () => {
      const present = await this.#connection.ask((client) => client.sMembers(NAMES));
      const names = present.filter(isLayerName);
      for (const other of present) {
        if (!isLayerName(other)) this.#report(other, 'This is not the name of a layer; it is left alone.');
      }
      const layers: StoredLayer[] = [];
      for (let at = 0; at < names.length; at += AT_A_TIME) {
        const entries = await Promise.all(names.slice(at, at + AT_A_TIME).map((name) => this.#find(name)));
        layers.push(...entries.flatMap(({ layer }) => layer ?? []));
      }
      return layers;
    });
  }

  find(name: string): Promise<Entry> {
    return this.#guarded(() => this.#find(name));
  }

  replace(name: string, revision: number, next: StoredLayer | null): Promise<boolean> {
    return this.#guarded(async () => {
      const entry = next === null ? '' : JSON.stringify(next);
      const call = {
        keys: [nameKey(name), NAMES],
        arguments: [PREFIX, name, String(revision), next?.etag ?? '', entry],
      };
      return (await this.#connection.ask((client) => client.eval(REPLACE, call))) === 1;
    });
  }

  writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void> {
    return this.#guarded(async () => {
      // Redis has no SHA-256 in scripts, so that a content which was changed in its memory shows here alone.
      const present = await readPieces(this.#connection, etag);
      const isWhole = present !== null && (await isSameContent(present, etag));
      if (isWhole && (await keep(this.#connection, etag))) return;
      await writePieces(this.#connection, etag, parts);
    });
  }

  readContent(etag: string): Promise<Uint8Array | null> {
    return this.#guarded(() => readPieces(this.#connection, etag));
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #find(name: string): Promise<Entry> {
    const fields = await this.#connection
      .ask((client) => client.hGetAll(nameKey(name)))
      .catch((error: Error) => {
        if (error.message.startsWith('WRONGTYPE')) return NO_HASH;
        throw error;
      });
    const { revision, etag, entry } = fields;
    if (revision === undefined && entry === undefined) return { layer: null, revision: 0 };
    const layer = readEntry(name, etag, entry);
    if (layer === undefined) this.#report(name, 'The entry of a layer is damaged; the layer is left out.');
    return { layer: layer ?? null, revision: readRevision(revision) };
  }

  #report(name: string, message: string): void {
    if (this.#reported.has(name)) return;
    this.#reported.add(name);
    this.#logger.error({ name }, message);
  }

  async #guarded<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('OOM')) {
        throw new Problem('insufficient_storage', 'The store of the layers is full.');
      }
      this.#logger.error({ err: error }, 'Redis did not do what the store of the layers asked.');
      const detail = 'The store of the layers cannot be used at the moment.';
      throw new Problem('store_unavailable', detail, [], RETRY_SECONDS);
    }
  }
}

/** null for a name that was taken away; undefined where the text is not what was written for it. */
function readEntry(name: string, etag = '', text = ''): StoredLayer | null | undefined {
  if (etag === '' && text === '') return null;
  try {
    const layer = JSON.parse(text) as StoredLayer | null;
    return layer?.name === name && layer.etag === etag ? layer : undefined;
  } catch {
    return undefined;
  }
}

/** As the script that replaces entries reads it. */
function readRevision(text = ''): number {
  return /^\d+$/.test(text) ? Number(text) : 0;
}
