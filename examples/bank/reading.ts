import type { FirstLayer } from '../pretrained/sentence-encoder.ts';
import type { Weights } from '../pretrained/tfjs-weights.ts';
import { attend } from './attend.ts';

/** One word of one sentence, before and after the attention of layer 0. */
export interface Reading {
  readonly sentence: string;
  readonly tokens: readonly string[];
  readonly ids: readonly number[];
  /** Index of the word among the tokens. */
  readonly position: number;
  /** What enters the layer, [256]: the word and its position, nothing else. */
  readonly embedding: Float32Array;
  /** Its layer norm, which the attention reads, [256]. */
  readonly normalized: Float32Array;
  /** Attention from the word to each token, by head: [H][L]. */
  readonly weights: readonly Float32Array[];
  /** What the attention gives for the word, W_O and bias included, before the residual: [512]. */
  readonly output: Float32Array;
  readonly kernel: string;
}

/** Reads a sentence and has the service compute the attention. Throws where the word is not one token of it. */
export async function readWord(
  baseUrl: string,
  layer: FirstLayer,
  sentence: string,
  word: string,
): Promise<Reading> {
  const { tokens, ids } = layer.tokenize(sentence);
  const position = tokens.indexOf(`▁${word}`);
  if (position < 0) throw new Error(`“${word}” is not one of the tokens ${tokens.join(' ')}`);
  const embedded = layer.embed(ids);
  const normalized = layer.normalize(embedded);
  const { output, weights, kernel } = await attend(baseUrl, normalized, layer.attention, position);
  return {
    sentence,
    tokens,
    ids,
    position,
    embedding: row(embedded, position),
    normalized: row(normalized, position),
    weights: Array.from({ length: layer.attention.heads }, (_, head) => row(weights, head)),
    output: row(output, position),
    kernel,
  };
}

function row({ shape, data }: Weights, index: number): Float32Array {
  return data.slice(index * shape[1], (index + 1) * shape[1]);
}
