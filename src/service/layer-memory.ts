import type { Layer } from '../contract/layer.ts';
import type { LayerBody } from '../contract/schemas/layers.ts';
import type { LinearName } from '../domain/linears.ts';

/** A layer in memory, by its content: names that share a content share this. */
export interface OpenLayer {
  readonly etag: string;
  readonly body: LayerBody;
  readonly bodyBytes: number;
  packed: Layer['packed'];
  packedBytes: number;
  /** Whether its packed weights had to make room for others. */
  isStripped: boolean;
}

export interface LayerMemoryStats {
  readonly open: number;
  readonly packed: number;
  readonly bytes: number;
  readonly packedBytes: number;
}

/**
 * Open layers, least recently used first, within so many bytes. Where there are more, the packed weights of those that
 * have not been used for longest go first, which costs their next call a packing, and then they themselves, which costs
 * it a reading. A call that is under way keeps what it has.
 */
export class LayerMemory {
  readonly #limit: number;
  readonly #layers = new Map<string, OpenLayer>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The layer of this content, which thereby is the one used last. */
  use(etag: string): OpenLayer | undefined {
    const layer = this.#layers.get(etag);
    if (layer !== undefined) {
      this.#layers.delete(etag);
      this.#layers.set(etag, layer);
    }
    return layer;
  }

  add(layer: OpenLayer): void {
    this.#layers.set(layer.etag, layer);
    this.#shrink();
  }

  remove(etag: string): void {
    this.#layers.delete(etag);
  }

  /** Keeps the packed weights of a layer, if they fit beside it. */
  addPacked(layer: OpenLayer, packed: Layer['packed']): void {
    const bytes = packedBytesOf(packed);
    if (layer.bodyBytes + bytes > this.#limit) return;
    layer.packed = packed;
    layer.packedBytes = bytes;
    layer.isStripped = false;
    this.#shrink();
  }

  stats(): LayerMemoryStats {
    const layers = [...this.#layers.values()];
    const sum = (bytesOf: (layer: OpenLayer) => number) =>
      layers.reduce((total, layer) => total + bytesOf(layer), 0);
    return {
      open: layers.length,
      packed: layers.filter(({ packedBytes }) => packedBytes > 0).length,
      bytes: sum(({ bodyBytes, packedBytes }) => bodyBytes + packedBytes),
      packedBytes: sum(({ packedBytes }) => packedBytes),
    };
  }

  #shrink(): void {
    let { bytes } = this.stats();
    for (const layer of [...this.#layers.values()]) {
      if (bytes <= this.#limit) return;
      bytes -= layer.packedBytes;
      layer.isStripped ||= layer.packedBytes > 0;
      layer.packed = {};
      layer.packedBytes = 0;
      if (bytes <= this.#limit) return;
      bytes -= layer.bodyBytes;
      this.#layers.delete(layer.etag);
    }
  }
}

function packedBytesOf(packed: Layer['packed']): number {
  return (Object.keys(packed) as LinearName[]).reduce(
    (total, name) => total + (packed[name]?.data.byteLength ?? 0),
    0,
  );
}
