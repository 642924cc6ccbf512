import type { LayerUpload } from '../contract/schemas/layer-upload.ts';
import type { LayerDescription } from '../contract/schemas/layers.ts';
import { SAFETENSORS } from './media-types.ts';
import { type PackedBody, packBody } from './pack.ts';
import type { Marks } from './read-json.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { LayerDefinition } from './types.ts';

/** A layer as the service describes it: its etag, its options, and the shapes of its tensors. */
export type RegisteredLayer = LayerDescription;

export interface WriteLayerOptions extends CallOptions {
  /** Changes the name only where it has the content of this etag: else an AttentionApiError, `precondition_failed`. */
  readonly ifMatch?: string | undefined;
}

export interface PutLayerOptions extends WriteLayerOptions {
  /** Registers a new name only. */
  readonly isNew?: boolean | undefined;
}

const COLLECTION = '/v1/layers';
const LAYER: Marks<RegisteredLayer> = { name: 'string', etag: 'string' };

/**
 * Registered layers of a service. What is written without a condition is repeated where connections break, as HTTP has it
 * for PUT and DELETE; with one only where the service has not begun: it could have been done the first time, and the
 * condition would not hold any more.
 */
export class LayersClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Registers projections and their options under a name. */
  async put(name: string, layer: LayerDefinition, options?: PutLayerOptions): Promise<RegisteredLayer> {
    return this.#put(addressOf(name), packBody(layer), options);
  }

  /** Registers a layer out of a safetensors file, in memory as it is; `upload` says how it is to be read. */
  putFile(
    name: string,
    file: Uint8Array,
    upload: LayerUpload = {},
    options?: PutLayerOptions,
  ): Promise<RegisteredLayer> {
    const query = new URLSearchParams();
    for (const [option, value] of Object.entries(upload)) {
      if (value !== undefined) query.set(option, String(value));
    }
    return this.#put(`${addressOf(name)}?${query}`, { contentType: SAFETENSORS, bytes: file }, options);
  }

  get(name: string, options?: CallOptions): Promise<RegisteredLayer> {
    const request = { method: 'GET', path: addressOf(name), repeat: 'passing' } as const;
    return this.#transport.sendForJson(request, LAYER, options);
  }

  /** All of them, by name. */
  async list(options?: CallOptions): Promise<readonly RegisteredLayer[]> {
    const request = { method: 'GET', path: COLLECTION, repeat: 'passing' } as const;
    const { layers } = await this.#transport.sendForJson<{ layers: RegisteredLayer[] }>(
      request,
      { layers: 'array' },
      options,
    );
    return layers;
  }

  /** The layer as a safetensors file, which `putFile` takes as it is. */
  async projections(name: string, options: CallOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const path = `${addressOf(name)}/projections`;
    const request = { method: 'GET', path, accept: SAFETENSORS, repeat: 'passing' } as const;
    return new Uint8Array(await this.#transport.send(request, options));
  }

  /** Takes a name away. */
  async delete(name: string, options: WriteLayerOptions = {}): Promise<void> {
    await this.#transport.send(
      {
        method: 'DELETE',
        path: addressOf(name),
        accept: 'application/json',
        ...conditionsOf(options),
        doneBefore: [404],
      },
      options,
    );
  }

  #put(
    path: string,
    { contentType, bytes }: PackedBody,
    options: PutLayerOptions = {},
  ): Promise<RegisteredLayer> {
    const request = { method: 'PUT', path, contentType, body: bytes, ...conditionsOf(options) } as const;
    return this.#transport.sendForJson(request, LAYER, options);
  }
}

function addressOf(name: string): string {
  return `${COLLECTION}/${encodeURIComponent(name)}`;
}

function conditionsOf({ ifMatch, isNew }: PutLayerOptions) {
  if (ifMatch !== undefined) return { ifMatch: `"${ifMatch}"`, repeat: 'refused' } as const;
  if (isNew === true) return { ifNoneMatch: '*', repeat: 'refused' } as const;
  return { repeat: 'passing' } as const;
}
