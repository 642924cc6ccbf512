import type { LayerDescription } from '../contract/schemas/layers.ts';

/** What a store keeps about a layer besides its content. */
export interface StoredLayer extends LayerDescription {
  /** When this content was registered under this name, ISO 8601 in UTC. */
  readonly registered_at: string;
}

/** What stands under a name. */
export interface Entry {
  /** null where there is nothing, or nothing that can be used. */
  readonly layer: StoredLayer | null;
  /** Grows with every change of the name, its deletion included; 0 where there never was anything. */
  readonly revision: number;
}

/**
 * Where layers are kept: contents by their hash, and for each name which content it has. Several processes may share one
 * store. What a promise resolves for is as durable as the store is.
 *
 * Every method throws the Problem `store_unavailable` where the store does not do what it is asked, and the writing ones
 * `insufficient_storage` where it is full; then everything is as it was.
 */
export interface LayerStore {
  /** Every layer that can be used, in no order. */
  list(): Promise<StoredLayer[]>;
  find(name: string): Promise<Entry>;
  /**
   * Puts `next` in the place of what stood at `revision`; null takes the name away. Resolves to false, and changes nothing,
   * where the name has another revision by now, or the content of `next` is not there.
   */
  replace(name: string, revision: number, next: StoredLayer | null): Promise<boolean>;
  /** Keeps a content, of parts that follow each other. Writes nothing where it is there and whole. */
  writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void>;
  /** A content, on shared memory, unchecked; null where it is not there. */
  readContent(etag: string): Promise<Uint8Array | null>;
  close(): Promise<void>;
}
