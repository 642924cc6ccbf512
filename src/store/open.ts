import { join } from 'node:path';
import { FileStore } from './fs/store.ts';
import type { StoreLogger } from './logger.ts';
import { MemoryStore } from './memory.ts';
import type { LayerStore } from './store.ts';

/** Where layers may be kept, the usual one first. */
export const STORE_KINDS = ['fs', 'memory', 'redis'] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

export interface StoreOptions {
  readonly kind: StoreKind;
  /** Folder of what is stored, for `fs`. */
  readonly dataDir: string;
  /** Address of the server, `redis://` or `rediss://`, for `redis`. */
  readonly redisUrl: string;
  readonly logger: StoreLogger;
}

/** A store that cannot be used. Its message is one line for whoever starts the service. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}

/** Opens the store that is asked for. Throws a StoreError where it cannot be used. */
export async function openStore({ kind, dataDir, redisUrl, logger }: StoreOptions): Promise<LayerStore> {
  switch (kind) {
    case 'fs':
      return orRefuse(
        FileStore.open({ folder: join(dataDir, 'layers'), logger }),
        `DATA_DIR: expected a folder that can be written to; got ${dataDir}`,
      );
    case 'memory':
      return new MemoryStore();
    case 'redis':
      return orRefuse(openRedis(redisUrl, logger), 'REDIS_URL: expected a Redis server that answers');
  }
}

/** The client is loaded only where it is used. */
async function openRedis(url: string, logger: StoreLogger): Promise<LayerStore> {
  const { RedisStore } = await import('./redis/store.ts');
  return RedisStore.open({ url, logger });
}

async function orRefuse(opening: Promise<LayerStore>, expected: string): Promise<LayerStore> {
  try {
    return await opening;
  } catch (cause) {
    throw new StoreError(`${expected} (${cause instanceof Error ? cause.message : cause}).`, { cause });
  }
}
