import { setImmediate } from 'node:timers/promises';
import type { Layer } from '../contract/layer.ts';
import { readTrial } from '../contract/read-layer.ts';
import type { LayerBody } from '../contract/schemas/layers.ts';
import { buffersOf } from '../domain/buffers.ts';
import type { AttentionCall, Linear } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import { LINEARS, type LinearName } from '../domain/linears.ts';
import { Problem } from '../domain/problem.ts';
import type { RealArray } from '../domain/tensor.ts';
import { unlessAborted } from '../domain/unless-aborted.ts';
import { weigh } from '../engine/counterweight.ts';
import type { Engine, Ticket } from '../engine/engine.ts';
import { allocateLines } from '../kernels/memory.ts';
import { isSameContent } from '../store/hash.ts';
import type { LayerStore, StoredLayer } from '../store/store.ts';
import { LayerMemory, type LayerMemoryStats, type OpenLayer } from './layer-memory.ts';

/** Bytes that opening holds for each byte of the file: the file, and its numbers as floats where they were halves. */
const BYTES_PER_FILE_BYTE = 3;

/**
 * Layers as calls use them: read from the store at their first call, by a worker, and packed once for all workers. Calls
 * that come meanwhile wait for the same reading, which goes on if one of them is given up.
 */
export class OpenLayers {
  readonly #store: LayerStore;
  readonly #engine: Engine;
  readonly #limits: Limits;
  readonly #memory: LayerMemory;
  readonly #running = new Map<string, Promise<OpenLayer>>();
  readonly #damaged = new Set<string>();

  constructor(store: LayerStore, engine: Engine, limits: Limits) {
    this.#store = store;
    this.#engine = engine;
    this.#limits = limits;
    this.#memory = new LayerMemory(limits.layerBytes);
  }

  stats(): LayerMemoryStats {
    return this.#memory.stats();
  }

  /** Whether the store was found to have lost or changed a content, and has not been found to have it again. */
  isDamaged(etag: string): boolean {
    return this.#damaged.has(etag);
  }

  /** The store has been given a content again, if it had lost it. */
  written(etag: string): void {
    this.#damaged.delete(etag);
  }

  /**
   * The layer with its weights in memory.
   * @throws {Problem} layer_damaged where the store has lost or changed its content; store_unavailable; over_capacity;
   *   the reason of the signal, though the reading goes on.
   */
  async open(stored: StoredLayer, signal?: AbortSignal): Promise<Layer> {
    const { name, etag } = stored;
    const present = this.#memory.use(etag);
    // This call does without the packed weights that are made meanwhile.
    if (present?.isStripped) void this.#once(etag, () => this.#packAgain(present)).catch(() => undefined);
    const { body, packed } =
      present ??
      (await unlessAborted(
        this.#once(etag, () => this.#read(stored)),
        signal,
      ));
    return { name, etag, body, packed };
  }

  /** Takes a content out of memory; calls that are under way keep what they have. */
  close(etag: string): void {
    this.#memory.remove(etag);
  }

  /** The file of a layer, checked. Throws the Problems of `open`. */
  async file(stored: StoredLayer): Promise<Uint8Array> {
    const bytes = await this.#store.readContent(stored.etag);
    if (bytes === null || !(await isSameContent(bytes, stored.etag))) throw this.#damagedLayer(stored);
    this.#damaged.delete(stored.etag);
    return bytes;
  }

  /** Lets all who want the same of one content wait for one doing of it. */
  #once(etag: string, run: () => Promise<OpenLayer>): Promise<OpenLayer> {
    const current = this.#running.get(etag);
    if (current !== undefined) return current;
    const running = run().finally(() => this.#running.delete(etag));
    this.#running.set(etag, running);
    return running;
  }

  async #read(stored: StoredLayer): Promise<OpenLayer> {
    const { etag, bytes } = stored;
    const ticket = this.#engine.admitErrand(BYTES_PER_FILE_BYTE * bytes);
    try {
      const file = await this.#store.readContent(etag);
      const body = file === null ? null : await ticket.openLayer(file, etag);
      if (body === null) throw this.#damagedLayer(stored);
      this.#damaged.delete(etag);
      const bodyBytes = bytesOf(body);
      const layer: OpenLayer = { etag, body, bodyBytes, packed: {}, packedBytes: 0, isStripped: false };
      this.#memory.add(layer);
      this.#memory.addPacked(layer, await packed(body, ticket, this.#engine, this.#limits));
      return layer;
    } finally {
      ticket.release();
    }
  }

  async #packAgain(layer: OpenLayer): Promise<OpenLayer> {
    const ticket = this.#engine.admitErrand(layer.bodyBytes);
    try {
      this.#memory.addPacked(layer, await packed(layer.body, ticket, this.#engine, this.#limits));
      return layer;
    } finally {
      ticket.release();
    }
  }

  #damagedLayer({ name, etag }: StoredLayer): Problem {
    this.#damaged.add(etag);
    const detail = `Layer "${name}" is damaged in the store, where its content ${etag} should be; register it again.`;
    return new Problem('layer_damaged', detail);
  }
}

function bytesOf(body: LayerBody): number {
  return [...buffersOf(body)].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** The weights as the kernel of the layer's precision packs them, found by one token on its way through the layer. */
async function packed(
  body: LayerBody,
  ticket: Ticket,
  engine: Engine,
  limits: Limits,
): Promise<Layer['packed']> {
  const call = readTrial(body, limits);
  const kernel = engine.kernelOf(call);
  if (kernel.keepPacked === undefined) return {};
  const { memory } = await ticket.compute(call);
  const kept = kernel.keepPacked({ call, memory });
  const forms: { -readonly [Name in LinearName]?: Layer['packed'][Name] } = {};
  for (const name of LINEARS) {
    const form = linearOf(kept, name)?.packed;
    if (form !== undefined) forms[name] = { ...form, data: await copied(form.data) };
  }
  weigh(forms);
  return forms;
}

function linearOf(call: AttentionCall, name: LinearName): Linear | null {
  if (name === 'output') return call.outputProjection;
  const source = call[name];
  return source.kind === 'projected' ? source.linear : null;
}

/** Numbers that are copied at a time: in new memory a millisecond or two, in which nobody is answered. */
const COPIED_AT_A_TIME = 2 ** 19;

/** Out of the memory of a job, which goes to the next one, into shared memory of its own. */
async function copied(data: RealArray): Promise<RealArray> {
  const copy = allocateLines(data instanceof Float32Array ? 'float32' : 'float64', data.length);
  for (let from = 0; from < data.length; from += COPIED_AT_A_TIME) {
    if (from > 0) await setImmediate();
    copy.set(data.subarray(from, from + COPIED_AT_A_TIME), from);
  }
  return copy;
}
