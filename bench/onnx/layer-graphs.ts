import { type Shape, width } from '../shapes.ts';
import type { Inputs } from '../workload.ts';
import { finished, type OrtGraph } from './graph.ts';
import { GraphBuilder, type OnnxTensor } from './model.ts';
import { softmax } from './parts.ts';
import { int64, sideBySide } from './tensors.ts';

/** A layer: x is given, the weights are part of the model, as of a registered layer, or given as well. */
export function layerGraphs(shape: Shape, inputs: Inputs, weights: 'constant' | 'given'): OrtGraph[] {
  const takesWeights = weights === 'given';
  const weight = (g: GraphBuilder, name: string, tensor: OnnxTensor = inputs[name]) =>
    takesWeights ? g.input(name, tensor) : g.constant(tensor);
  const tokens = [shape.batch, shape.queries, width(shape)];
  const maps = [shape.batch, shape.heads, shape.queries, shape.keys];
  const graph = (name: string, attend: (g: GraphBuilder, x: string) => { heads: string; map?: string }) => {
    const g = new GraphBuilder();
    const { heads, map } = attend(g, g.input('x', inputs.x));
    const y = g.node('MatMul', [heads, weight(g, 'w_o')]);
    const outputs = [{ name: 'output', value: y, shape: tokens, tokensFirst: false }];
    if (map !== undefined) outputs.push({ name: 'weights', value: map, shape: maps, tokensFirst: false });
    return finished(takesWeights ? `${name}, weights given` : name, g, outputs, takesWeights);
  };
  const project = (g: GraphBuilder, x: string) =>
    ['w_q', 'w_k', 'w_v'].map((name) => g.node('MatMul', [x, weight(g, name)]));
  const numHeads = { num_heads: shape.heads };
  const qkvHeads = { q_num_heads: shape.heads, kv_num_heads: shape.heads };

  const primitive = graph('primitive', (g, x) => {
    const shapeOfHeads = g.constant(int64([shape.batch, shape.queries, shape.heads, shape.headSize]));
    const split = project(g, x).map((rows) => g.node('Reshape', [rows, shapeOfHeads]));
    const [q, k, v] = split.map((rows, role) => {
      return g.node('Transpose', [rows], { perm: role === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3] });
    });
    const map = softmax(g, shape, g.node('MatMul', [q, k]));
    const rows = g.node('Transpose', [g.node('MatMul', [map, v])], { perm: [0, 2, 1, 3] });
    return { heads: g.node('Reshape', [rows, g.constant(int64(tokens))]), ...(shape.weights && { map }) };
  });
  const standard = graph('onnx Attention', (g, x) => {
    if (!shape.weights) return { heads: g.node('Attention', project(g, x), qkvHeads) };
    // Mode 3: the fourth result is the map after the softmax.
    const attributes = { ...qkvHeads, qk_matmul_output_mode: 3 };
    const [heads, , , map] = g.nodes('Attention', project(g, x), 4, attributes);
    return { heads, map };
  });
  if (shape.weights) return [primitive, standard];
  return [
    primitive,
    graph('MultiHeadAttention', (g, x) => {
      return { heads: g.node('MultiHeadAttention', project(g, x), numHeads, 'com.microsoft') };
    }),
    graph('Attention', (g, x) => {
      const all = weight(g, 'w_qkv', sideBySide([inputs.w_q, inputs.w_k, inputs.w_v]));
      const bias = g.constant({ shape: [3 * width(shape)], data: new Float32Array(3 * width(shape)) });
      return { heads: g.node('Attention', [x, all, bias], numHeads, 'com.microsoft') };
    }),
    standard,
  ];
}
