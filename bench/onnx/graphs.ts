import type { Shape } from '../shapes.ts';
import type { Inputs } from '../workload.ts';
import { attentionGraphs } from './attention-graphs.ts';
import { decodeGraphs } from './decode-graphs.ts';
import type { OrtGraph } from './graph.ts';
import { layerGraphs } from './layer-graphs.ts';

/** Every graph that computes the shape. What can be prepared once (masks, packed weights, layouts) is prepared. */
export function graphsOf(shape: Shape, inputs: Inputs): OrtGraph[] {
  if (shape.gradients) return [];
  if (shape.kind === 'layer')
    return [...layerGraphs(shape, inputs, 'constant'), ...layerGraphs(shape, inputs, 'given')];
  return shape.past > 0 ? decodeGraphs(shape, inputs) : attentionGraphs(shape, inputs);
}
