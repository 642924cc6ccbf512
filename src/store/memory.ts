import type { Entry, LayerStore, StoredLayer } from './store.ts';

/** Layers in the memory of this process, as long as it lives. A content goes with the last name that has it. */
export class MemoryStore implements LayerStore {
  readonly #entries = new Map<string, Entry>();
  readonly #contents = new Map<string, Uint8Array>();

  async list(): Promise<StoredLayer[]> {
    return [...this.#entries.values()].flatMap(({ layer }) => (layer === null ? [] : [layer]));
  }

  async find(name: string): Promise<Entry> {
    return this.#entry(name);
  }

  async replace(name: string, revision: number, next: StoredLayer | null): Promise<boolean> {
    const current = this.#entry(name);
    if (current.revision !== revision || (next !== null && !this.#contents.has(next.etag))) {
      this.#dropUnused(next?.etag);
      return false;
    }
    this.#entries.set(name, { layer: next, revision: revision + 1 });
    this.#dropUnused(current.layer?.etag);
    return true;
  }

  async writeContent(etag: string, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#contents.has(etag)) return;
    const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
    const kept = new Uint8Array(new SharedArrayBuffer(size));
    let at = 0;
    for (const part of parts) {
      kept.set(part, at);
      at += part.byteLength;
    }
    this.#contents.set(etag, kept);
  }

  async readContent(etag: string): Promise<Uint8Array | null> {
    return this.#contents.get(etag) ?? null;
  }

  async close(): Promise<void> {}

  #entry(name: string): Entry {
    return this.#entries.get(name) ?? { layer: null, revision: 0 };
  }

  #dropUnused(etag: string | undefined): void {
    if (etag === undefined) return;
    const isUsed = [...this.#entries.values()].some(({ layer }) => layer?.etag === etag);
    if (!isUsed) this.#contents.delete(etag);
  }
}
