import { join } from 'node:path';
import { FileStore, type StoreLogger } from './fs/store.ts';
import { MemoryStore } from './memory.ts';
import type { LayerStore } from './store.ts';

/** Where layers may be kept, the usual one first. */
export const STORE_KINDS = ['fs', 'memory'] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

export interface StoreOptions {
  readonly kind: StoreKind;
  /** Folder of what is stored, for `fs`. */
  readonly dataDir: string;
  readonly logger: StoreLogger;
}

/** Opens the store that is asked for. Throws where it cannot be used. */
export async function openStore({ kind, dataDir, logger }: StoreOptions): Promise<LayerStore> {
  switch (kind) {
    case 'fs':
      return FileStore.open({ folder: join(dataDir, 'layers'), logger });
    case 'memory':
      return new MemoryStore();
  }
}
