import type { Layer } from '../contract/layer.ts';
import { operationNamed } from '../contract/operations.ts';
import type { ModelMetadata } from '../contract/schemas/inference.ts';
import { isLayerName } from '../domain/layer-name.ts';
import { Problem } from '../domain/problem.ts';
import { quoted } from '../domain/quoted.ts';
import type { ElementKind, Precision } from '../domain/tensor.ts';
import type { StoredLayer } from '../store/store.ts';
import { outputNames } from '../wire/kserve/outputs.ts';
import type { Layers } from './layers.ts';

/** What the Open Inference Protocol calls a model: an operation under a name. */
export interface Model {
  readonly name: string;
  /** Name of a row of the operations. */
  readonly operation: string;
  /** What its calls compute in where they say nothing else. */
  readonly precision?: Precision | undefined;
  /** Has the weights of the layer that the operation calls in memory; undefined where it calls none. */
  readonly open?: ((signal?: AbortSignal) => Promise<Layer>) | undefined;
  /** Lets go of the memory of that layer, which the next call opens again; undefined where there is none. */
  readonly close?: (() => Promise<void>) | undefined;
}

/** The one version of every model. */
export const MODEL_VERSION = '1';
export const PLATFORM = 'attention-api';

const BUILT_IN: readonly Model[] = [
  { name: 'scaled-dot-product-attention', operation: 'scaled_dot_product_attention' },
  { name: 'scaled-dot-product-attention-gradients', operation: 'scaled_dot_product_attention_gradients' },
  { name: 'multi-head-attention', operation: 'multi_head_attention' },
];

/** The models that this instance has: the operations that are built in, and every registered layer of another name. */
export class Models {
  readonly #layers: Layers;

  constructor(layers: Layers) {
    this.#layers = layers;
  }

  async list(): Promise<readonly Model[]> {
    const layers = await this.#layers.list();
    const others = layers.filter(({ name }) => BUILT_IN.every((model) => model.name !== name));
    return [...BUILT_IN, ...others.map((layer) => this.#layer(layer))];
  }

  /** @throws {Problem} not_found; store_unavailable. */
  find(name: string): Promise<Model> {
    return this.#find(name, () => this.#layers.find(name));
  }

  /** As `find`, for a call; see `Layers.findToCall`. */
  findToCall(name: string): Promise<Model> {
    return this.#find(name, () => this.#layers.findToCall(name));
  }

  async #find(name: string, findLayer: () => Promise<StoredLayer>): Promise<Model> {
    const builtIn = BUILT_IN.find((model) => model.name === name);
    if (builtIn !== undefined) return builtIn;
    try {
      if (isLayerName(name)) return this.#layer(await findLayer());
    } catch (error) {
      if (!(error instanceof Problem && error.code === 'not_found')) throw error;
    }
    const shown = quoted(name);
    throw new Problem('not_found', `There is no model ${shown}; GET /v2/models lists all.`);
  }

  #layer({ name, options }: StoredLayer): Model {
    return {
      name,
      operation: 'layer_attention',
      precision: (options as { readonly precision?: Precision }).precision,
      open: (signal) => this.#layers.open(name, signal),
      close: () => this.#layers.close(name),
    };
  }
}

/** How elements of each kind may be sent, where a client asks for one datatype; others are taken too. */
const DATATYPE: Readonly<Record<Exclude<ElementKind, 'real'>, string>> = { index: 'INT64', bool: 'BOOL' };

/** Ranks that batches have, where they are not those of token vectors, [B, L, D]. */
const RANKS: Readonly<Record<string, number>> = {
  allow_mask: 4,
  forbid_mask: 4,
  bias: 4,
  key_lengths: 1,
  key_valid: 2,
  alibi_slopes: 1,
  sinks: 1,
  k_extra: 1,
  v_extra: 1,
  'rope.positions': 2,
  'rope.key_positions': 2,
  'rope.cos': 2,
  'rope.sin': 2,
  weights: 4,
  'weights.indices': 4,
  'weights.values': 4,
  logits: 4,
};
const TOKEN_RANK = 3;

function rankOf(path: string): number {
  if (path.startsWith('projections.')) return path.startsWith('projections.w_') ? 2 : 1;
  return RANKS[path] ?? TOKEN_RANK;
}

/** What a model takes and gives. */
export function describeModel({ name, operation, precision }: Model): ModelMetadata {
  const { fields } = operationNamed(operation);
  const real = precision === 'float64' ? 'FP64' : 'FP32';
  const tensor = (path: string, datatype: string) => {
    return { name: path, datatype, shape: Array<number>(rankOf(path)).fill(-1) };
  };
  return {
    name,
    versions: [MODEL_VERSION],
    platform: PLATFORM,
    inputs: Object.entries(fields).map(([path, kind]) =>
      tensor(path, kind === 'real' ? real : DATATYPE[kind]),
    ),
    outputs: outputNames(fields).map((path) => tensor(path, path === 'weights.indices' ? 'INT32' : real)),
  };
}
