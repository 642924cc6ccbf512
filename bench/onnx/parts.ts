import type { Shape } from '../shapes.ts';
import { realKeys } from '../shapes.ts';
import type { Inputs } from '../workload.ts';
import type { GraphBuilder, OnnxTensor } from './model.ts';
import { FORBIDDEN, plain, unshared, visibility } from './tensors.ts';

/* Pieces that several graphs have. */

export function headsFirst(g: GraphBuilder, inputs: Inputs): string[] {
  return ['query', 'key', 'value'].map((name) => g.input(name, plain(inputs[name])));
}

export function softmax(g: GraphBuilder, shape: Shape, scores: string): string {
  return g.node('Softmax', [g.node('Mul', [scores, g.constant(scale(shape))])], { axis: -1 });
}

export function scale({ headSize }: Shape): OnnxTensor {
  return { shape: [], data: Float32Array.of(1 / Math.sqrt(headSize)) };
}

/** One mask to add: causality and window as a constant of the model, or the bias with the padding in it. */
export function mask(g: GraphBuilder, shape: Shape, inputs: Inputs): string {
  if (!shape.biasAndPadding) return g.constant(visibility(shape));
  const data = unshared(inputs.bias.data);
  for (let at = 0; at < data.length; at++) if (at % shape.keys >= realKeys(shape)) data[at] = FORBIDDEN;
  return g.input('mask', { shape: inputs.bias.shape, data });
}
