import { createClient, RESP_TYPES } from '@redis/client';
import { Problem } from '../../domain/problem.ts';
import type { StoreLogger } from '../logger.ts';
import type { Entry, LayerStore, StoredLayer } from '../store.ts';
import { ADD_CONTENT, REPLACE } from './scripts.ts';

/** In front of every key, so that the database may be shared. */
const KEYS = 'attention:';
const NAMES = `${KEYS}names`;
const contentKey = (etag: string) => `${KEYS}content:${etag}`;
const nameKey = (name: string) => `${KEYS}name:${name}`;

const CONNECT_MS = 5000;
/** A command that is not answered by then has failed, though the server may still carry it out. */
const COMMAND_MS = 10_000;
const LONGEST_RETRY_MS = 2000;
const RETRY_SECONDS = 2;

export interface RedisStoreOptions {
  readonly url: string;
  readonly logger: StoreLogger;
}

/**
 * Layers in Redis, shared by every process that uses the same database:
 *
 *     attention:names            names that have a layer (set)
 *     attention:name:<name>      revision and entry of a name (hash)
 *     attention:content:<etag>   a content (string), and attention:users:<etag> the names that have it (set)
 *
 * Changes are scripts, which Redis runs one at a time: a content is dropped with the last name that has it. How durable a
 * change is that was answered is a matter of the server's own settings (appendonly, appendfsync).
 */
export class RedisStore implements LayerStore {
  readonly #client: ReturnType<typeof connectTo>;
  readonly #logger: StoreLogger;

  private constructor({ url, logger }: RedisStoreOptions) {
    this.#logger = logger;
    this.#client = connectTo(url);
    this.#client.on('error', (error) => logger.error({ err: error }, 'The connection to Redis failed.'));
  }

  /** Connects. Throws where the server does not answer within seconds. */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    const store = new RedisStore(options);
    const connected = store.#client.connect();
    connected.catch(() => undefined);
    const late = new Promise<never>((_resolve, reject) => {
      setTimeout(() => reject(new Error('Redis does not answer.')), CONNECT_MS).unref();
    });
    try {
      await Promise.race([connected, late]);
    } catch (error) {
      store.#client.destroy();
      throw error;
    }
    return store;
  }

  list(): Promise<StoredLayer[]> {
    return this.#guarded(async () => {
      const names = await this.#client.sMembers(NAMES);
      const entries = await Promise.all(names.map((name) => this.#find(name)));
      return entries.flatMap(({ layer }) => (layer === null ? [] : [layer]));
    });
  }

  find(name: string): Promise<Entry> {
    return this.#guarded(() => this.#find(name));
  }

  replace(name: string, revision: number, next: StoredLayer | null): Promise<boolean> {
    return this.#guarded(async () => {
      const entry = next === null ? '' : JSON.stringify(next);
      const result = await this.#client.eval(REPLACE, {
        keys: [nameKey(name), NAMES],
        arguments: [KEYS, name, String(revision), next?.etag ?? '', entry],
      });
      return result === 1;
    });
  }

  writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void> {
    return this.#guarded(async () => {
      const content = Buffer.concat(parts);
      const keys = [contentKey(etag), `${KEYS}users:${etag}`];
      await this.#client.eval(ADD_CONTENT, { keys, arguments: [content] });
    });
  }

  readContent(etag: string): Promise<Uint8Array | null> {
    return this.#guarded(async () => {
      const content = await this.#client
        .withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
        .get(contentKey(etag));
      if (content === null) return null;
      const bytes = new Uint8Array(new SharedArrayBuffer(content.byteLength));
      bytes.set(content);
      return bytes;
    });
  }

  async close(): Promise<void> {
    await this.#client.close().catch(() => this.#client.destroy());
  }

  async #find(name: string): Promise<Entry> {
    const { revision, entry } = await this.#client.hGetAll(nameKey(name));
    if (revision === undefined) return { layer: null, revision: 0 };
    return { layer: entry === '' ? null : JSON.parse(entry), revision: Number(revision) };
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

/** What is asked while there is no connection fails at once: callers are told to come again, not kept waiting. */
function connectTo(url: string) {
  return createClient({
    url,
    disableOfflineQueue: true,
    commandOptions: { timeout: COMMAND_MS },
    socket: {
      connectTimeout: CONNECT_MS,
      reconnectStrategy: (retries) => Math.min(LONGEST_RETRY_MS, 50 * 2 ** Math.min(retries, 10)),
    },
  });
}
