import type { Layer } from '../contract/layer.ts';
import type { LayerDescription } from '../contract/schemas/layers.ts';
import { suggest } from '../contract/validation/suggest.ts';
import { isLayerName } from '../domain/layer-name.ts';
import type { Limits } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { RecentMap } from '../domain/recent-map.ts';
import { unlessAborted } from '../domain/unless-aborted.ts';
import type { Engine, LayerRequest, Ticket } from '../engine/engine.ts';
import type { LayerStore, StoredLayer } from '../store/store.ts';
import type { LayerMemoryStats } from './layer-memory.ts';
import { OpenLayers } from './open-layers.ts';
import { checkPreconditions, type Preconditions } from './preconditions.ts';
import { KeyedTurns } from './turns.ts';

/** How long this process takes what it has seen under a name for what is there; others may change it. */
const FRESH_MS = 1000;
/** How often a change is tried again that others were quicker with. */
const MOST_ATTEMPTS = 16;
/** Of so many names at least it is known what was seen there last. */
const NAMES_SEEN = 4096;

/** Whether a registration made a name or changed what it had. */
export interface Registered {
  readonly layer: StoredLayer;
  readonly isNew: boolean;
}

/** What stood under a name when the store was last asked or changed. */
interface Seen {
  readonly layer: StoredLayer | null;
  readonly atMs: number;
}

/** Registered layers: their names and contents in the store, their weights in memory. */
export class Layers {
  readonly #store: LayerStore;
  readonly #open: OpenLayers;
  readonly #turns = new KeyedTurns();
  readonly #seen = new RecentMap<string, Seen>(NAMES_SEEN);

  constructor(store: LayerStore, engine: Engine, limits: Limits) {
    this.#store = store;
    this.#open = new OpenLayers(store, engine, limits);
  }

  stats(): LayerMemoryStats {
    return this.#open.stats();
  }

  /** All layers by name, without those that were found to be damaged. */
  async list(): Promise<StoredLayer[]> {
    const layers = (await this.#store.list()).filter(({ etag }) => !this.#open.isDamaged(etag));
    return layers.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws {Problem} not_found, with the names that may have been meant; store_unavailable. */
  async find(name: string): Promise<StoredLayer> {
    if (!isLayerName(name)) return this.#refuseUnknown(name);
    const askedMs = performance.now();
    const { layer } = await this.#store.find(name);
    const seen = this.#seen.get(name);
    // What was seen, or put there, since the store was asked is not older than its answer.
    const isNews = seen === undefined ? layer !== null : seen.atMs <= askedMs;
    if (isNews) this.#see(name, layer);
    return layer ?? (await this.#refuseUnknown(name));
  }

  /**
   * As `find`, for a call: what was seen a moment ago is taken for what is there, without a look at the store. Throws the
   * reason of the signal too.
   */
  async findToCall(name: string, signal?: AbortSignal): Promise<StoredLayer> {
    const seen = this.#seen.get(name);
    const isFresh = seen !== undefined && performance.now() - seen.atMs < FRESH_MS;
    if (isFresh && seen.layer !== null) return seen.layer;
    return unlessAborted(this.find(name), signal);
  }

  /** The layer with its weights in memory, for a call. Throws the Problems of `findToCall` and of opening. */
  async open(name: string, signal?: AbortSignal): Promise<Layer> {
    const layer = await this.findToCall(name, signal);
    return this.#unlessReplaced(layer, (found) => this.#open.open(found, signal));
  }

  /** Takes the weights of a layer out of memory, until its next call. Throws the Problems of `find`. */
  async close(name: string): Promise<void> {
    this.#open.close((await this.find(name)).etag);
  }

  /**
   * Registers a body under a name. What a content is called does not matter to others that have the same.
   * @throws {Problem} precondition_failed; conflict; insufficient_storage; store_unavailable; those of reading a layer.
   */
  async put(
    name: string,
    request: LayerRequest,
    ticket: Ticket,
    conditions: Preconditions,
  ): Promise<Registered> {
    checkPreconditions(conditions, name, (await this.#store.find(name)).layer?.etag ?? null);
    const { parts, size, etag, summary } = await ticket.makeLayer(request);
    const layer: StoredLayer = {
      name,
      etag,
      bytes: size,
      ...summary,
      registered_at: new Date().toISOString(),
    };
    const before = await this.#change(name, conditions, async (current) => {
      await this.#store.writeContent(etag, parts);
      this.#open.written(etag);
      return current?.etag === etag ? current : layer;
    });
    return { layer: before?.etag === etag ? before : layer, isNew: before === null };
  }

  /** Takes a name away. Throws a Problem: not_found, precondition_failed, conflict, store_unavailable. */
  async delete(name: string, conditions: Preconditions): Promise<void> {
    await this.#change(name, conditions, async (current) => {
      return current === null ? this.#refuseUnknown(name) : null;
    });
  }

  /**
   * What stands under a name and its file, which `use` is given the means to read.
   * Throws the Problems of `find`; layer_damaged; what `use` throws.
   */
  async represent<Result>(
    name: string,
    use: (layer: StoredLayer, file: () => Promise<Uint8Array>) => Promise<Result>,
  ): Promise<Result> {
    const layer = await this.find(name);
    return this.#unlessReplaced(layer, (found) => use(found, () => this.#open.file(found)));
  }

  /** Does something with a content; once more with the next one where it was replaced meanwhile, and is gone. */
  async #unlessReplaced<Result>(
    layer: StoredLayer,
    use: (layer: StoredLayer) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await use(layer);
    } catch (error) {
      if (!(error instanceof Problem && error.code === 'layer_damaged')) throw error;
      const next = await this.find(layer.name);
      if (next.etag === layer.etag) throw error;
      return use(next);
    }
  }

  /**
   * Changes what a name has to what `next` says, under the conditions, and gives what it had. In this process one change
   * of a name comes after the other; another process may be quicker.
   */
  #change(
    name: string,
    conditions: Preconditions,
    next: (current: StoredLayer | null) => Promise<StoredLayer | null>,
  ): Promise<StoredLayer | null> {
    return this.#turns.take(name, () => this.#changeInTurn(name, conditions, next));
  }

  async #changeInTurn(
    name: string,
    conditions: Preconditions,
    next: (current: StoredLayer | null) => Promise<StoredLayer | null>,
  ): Promise<StoredLayer | null> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const { layer: current, revision } = await this.#store.find(name);
      checkPreconditions(conditions, name, current?.etag ?? null);
      const wanted = await next(current);
      if (wanted === current || (await this.#store.replace(name, revision, wanted))) {
        this.#see(name, wanted);
        return current;
      }
    }
    const detail = `Layer "${name}" was changed by others on every attempt to write it.`;
    throw new Problem('conflict', detail);
  }

  #see(name: string, layer: StoredLayer | null): void {
    this.#seen.set(name, { layer, atMs: performance.now() });
  }

  async #refuseUnknown(name: string): Promise<never> {
    const known = (await this.#store.list()).map((layer) => layer.name);
    const near = suggest(name, known).map((one) => JSON.stringify(one));
    const meant = near.length === 0 ? 'GET /v1/layers lists all.' : `There is ${near.join(', ')}.`;
    throw new Problem('not_found', `There is no layer ${JSON.stringify(name)}. ${meant}`);
  }
}

/** A layer as responses show it. */
export function describeLayer({ registered_at: _at, ...description }: StoredLayer): LayerDescription {
  return description;
}
