import type { Shape } from '../shapes.ts';
import type { Inputs } from '../workload.ts';
import { finished, type OrtGraph, outputHeadsFirst, outputTokensFirst, present } from './graph.ts';
import { type Attribute, GraphBuilder } from './model.ts';
import { headsFirst, mask, scale, softmax } from './parts.ts';
import { int32, paddingMask, tokensFirst, visibility } from './tensors.ts';

/** Attention alone: query, key and value are given, each in the layout that the operator takes. */
export function attentionGraphs(shape: Shape, inputs: Inputs): OrtGraph[] {
  const { heads, causal, windowLeft, biasAndPadding } = shape;
  const masked = causal || biasAndPadding;
  const graphs: OrtGraph[] = [];

  const primitive = new GraphBuilder();
  const [q, k, v] = headsFirst(primitive, inputs);
  let scores = primitive.node('MatMul', [q, primitive.node('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  if (masked) {
    scores = primitive.node('Mul', [scores, primitive.constant(scale(shape))]);
    scores = primitive.node('Add', [scores, mask(primitive, shape, inputs)]);
    scores = primitive.node('Softmax', [scores], { axis: -1 });
  } else scores = softmax(primitive, shape, scores);
  graphs.push(
    finished('primitive', primitive, [outputHeadsFirst(shape, primitive.node('MatMul', [scores, v]))]),
  );

  const contrib = new GraphBuilder();
  const rows = ['query', 'key', 'value'].map((name) => contrib.input(name, tokensFirst(inputs[name])));
  const padding = biasAndPadding ? contrib.input('padding', paddingMask(shape)) : '';
  const bias = biasAndPadding ? contrib.input('bias', inputs.bias) : '';
  const window = windowLeft === null ? '' : contrib.constant(visibility(shape));
  const optional = padding + bias + window === '' ? [] : ['', padding, bias || window];
  const contribAttributes = { num_heads: heads, unidirectional: causal ? 1 : 0 };
  const attended = contrib.node(
    'MultiHeadAttention',
    [...rows, ...optional],
    contribAttributes,
    'com.microsoft',
  );
  graphs.push(finished('MultiHeadAttention', contrib, [outputTokensFirst(shape, attended)]));

  const standard = new GraphBuilder();
  const heads4 = headsFirst(standard, inputs);
  const onlyCausal = causal && windowLeft === null;
  if (masked && !onlyCausal) heads4.push(mask(standard, shape, inputs));
  const standardAttributes: Record<string, Attribute> = onlyCausal ? { is_causal: 1 } : {};
  const result = standard.node('Attention', heads4, standardAttributes);
  graphs.push(finished('onnx Attention', standard, [outputHeadsFirst(shape, result)]));

  if (causal) graphs.push(groupQueryGraph(shape, inputs));
  return graphs;
}

/** GroupQueryAttention without a cache: the one operator that is told of a window. */
function groupQueryGraph(shape: Shape, inputs: Inputs): OrtGraph {
  const g = new GraphBuilder();
  const rows = ['query', 'key', 'value'].map((name) => g.input(name, tokensFirst(inputs[name])));
  const attributes: Record<string, Attribute> = { num_heads: shape.heads, kv_num_heads: shape.kvHeads };
  if (shape.windowLeft !== null) attributes.local_window_size = shape.windowLeft + 1;
  const lengths = [g.constant(int32([shape.batch], shape.keys - 1)), g.constant(int32([1], shape.keys))];
  const results = g.nodes(
    'GroupQueryAttention',
    [...rows, '', '', ...lengths],
    3,
    attributes,
    'com.microsoft',
  );
  return finished('GroupQueryAttention', g, [
    outputTokensFirst(shape, results[0]),
    ...present(shape, results),
  ]);
}
