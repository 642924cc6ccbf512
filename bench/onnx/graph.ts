import type { Shape } from '../shapes.ts';
import type { GraphBuilder, OnnxTensor } from './model.ts';

/** How ONNX Runtime is asked to compute a shape. */
export interface OrtGraph {
  readonly name: string;
  /** Whether the weights are given at every run, and not part of the model, which packs them once. */
  readonly takesWeights: boolean;
  readonly model: Uint8Array;
  readonly feeds: Readonly<Record<string, OnnxTensor>>;
  readonly outputs: readonly OrtOutput[];
}

/** A result of a graph; `tokensFirst` where it is [B, L, H·d] and the results compared are [B, H, L, d]. */
export interface OrtOutput {
  readonly name: string;
  readonly value: string;
  readonly shape: readonly number[];
  readonly tokensFirst: boolean;
}

export function finished(
  name: string,
  g: GraphBuilder,
  outputs: readonly OrtOutput[],
  takesWeights = false,
): OrtGraph {
  for (const { value, shape } of outputs) g.output(value, shape);
  return { name, takesWeights, model: g.model(), feeds: g.feeds, outputs };
}

export function outputHeadsFirst({ batch, heads, queries, headSize }: Shape, value: string): OrtOutput {
  return { name: 'output', value, shape: [batch, heads, queries, headSize], tokensFirst: false };
}

export function outputTokensFirst({ batch, queries, heads, headSize }: Shape, value: string): OrtOutput {
  return { name: 'output', value, shape: [batch, queries, heads * headSize], tokensFirst: true };
}

/** Results that an operator with a cache also has. Named as the inputs whose memory they may share. */
export function present(
  { batch, kvHeads, keys, headSize }: Shape,
  [, key, value]: readonly string[],
): OrtOutput[] {
  const shape = [batch, kvHeads, keys, headSize];
  return [
    { name: 'past_key', value: key, shape, tokensFirst: false },
    { name: 'past_value', value, shape, tokensFirst: false },
  ];
}
