import { operationNamed } from '../contract/operations.ts';
import type { ModelMetadata } from '../contract/schemas/inference.ts';
import type { ElementKind } from '../domain/tensor.ts';
import { outputNames } from '../wire/kserve/outputs.ts';

/** What the Open Inference Protocol calls a model: an operation under a name. */
export interface Model {
  readonly name: string;
  /** Name of a row of the operations. */
  readonly operation: string;
}

/** The one version of every model. */
export const MODEL_VERSION = '1';
export const PLATFORM = 'attention-api';

const BUILT_IN: readonly Model[] = [
  { name: 'scaled-dot-product-attention', operation: 'scaled_dot_product_attention' },
  { name: 'scaled-dot-product-attention-gradients', operation: 'scaled_dot_product_attention_gradients' },
  { name: 'multi-head-attention', operation: 'multi_head_attention' },
];

/** The models that this instance has, by name: those that are built in, and what is added to them. */
export class Models {
  readonly #models = new Map(BUILT_IN.map((model) => [model.name, model]));

  [Symbol.iterator](): Iterator<Model> {
    return this.#models.values();
  }

  get(name: string): Model | undefined {
    return this.#models.get(name);
  }
}

/** How elements of each kind may be sent, where a client asks for one datatype; others are taken too. */
const DATATYPE: Readonly<Record<ElementKind, string>> = { real: 'FP32', index: 'INT64', bool: 'BOOL' };

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
export function describeModel({ name, operation }: Model): ModelMetadata {
  const { fields } = operationNamed(operation);
  const tensor = (path: string, datatype: string) => {
    return { name: path, datatype, shape: Array<number>(rankOf(path)).fill(-1) };
  };
  return {
    name,
    versions: [MODEL_VERSION],
    platform: PLATFORM,
    inputs: Object.entries(fields).map(([path, kind]) => tensor(path, DATATYPE[kind])),
    outputs: outputNames(fields).map((path) => tensor(path, path === 'weights.indices' ? 'INT32' : 'FP32')),
  };
}
