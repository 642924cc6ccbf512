import type { Shape } from '../shapes.ts';
import { type Inputs, rowsOf } from '../workload.ts';
import { finished, type OrtGraph, outputHeadsFirst, outputTokensFirst, present } from './graph.ts';
import { GraphBuilder } from './model.ts';
import { headsFirst, softmax } from './parts.ts';
import { int32, plain, unshared } from './tensors.ts';

/** One query after a cache: the cache given whole, given as past, and growing in place. */
export function decodeGraphs(shape: Shape, inputs: Inputs): OrtGraph[] {
  const { batch, heads, kvHeads, keys, past, headSize } = shape;
  const graphs: OrtGraph[] = [];
  const row = (name: string) => plain(rowsOf(inputs[name], past, keys));
  const rowOfTokens = (name: string) => ({ ...row(name), shape: [batch, 1, kvHeads * headSize] });
  const cached = (name: string) => plain(rowsOf(inputs[name], 0, past));

  // The queries of a group share its keys, so they are the rows of one product.
  const primitive = new GraphBuilder();
  const grouped = { shape: [batch, kvHeads, heads / kvHeads, headSize], data: unshared(inputs.query.data) };
  const q = primitive.input('query', grouped);
  const [k, v] = ['key', 'value'].map((name) => primitive.input(name, plain(inputs[name])));
  const scores = primitive.node('MatMul', [q, primitive.node('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  const output = primitive.node('MatMul', [softmax(primitive, shape, scores), v]);
  const shapeOfGroups = { name: 'output', value: output, shape: grouped.shape, tokensFirst: false };
  graphs.push(finished('primitive, whole cache', primitive, [shapeOfGroups]));

  const whole = new GraphBuilder();
  const attended = whole.node('Attention', headsFirst(whole, inputs));
  graphs.push(finished('onnx Attention, whole cache', whole, [outputHeadsFirst(shape, attended)]));

  const standard = new GraphBuilder();
  const fresh = ['key', 'value'].map((name) => standard.input(name, row(name)));
  const old = ['key', 'value'].map((name) => standard.input(`past_${name}`, cached(name)));
  const feeds = [standard.input('query', plain(inputs.query)), ...fresh, '', ...old];
  const results = standard.nodes('Attention', feeds, 3);
  graphs.push(
    finished('onnx Attention, past', standard, [
      outputHeadsFirst(shape, results[0]),
      ...present(shape, results),
    ]),
  );

  // Past and present in one buffer, given as input and as output: the new row is written in place.
  const query = new GraphBuilder();
  const rows = [
    query.input('query', { shape: [batch, 1, heads * headSize], data: unshared(inputs.query.data) }),
    ...['key', 'value'].map((name) => query.input(name, rowOfTokens(name))),
    ...['key', 'value'].map((name) => query.input(`past_${name}`, plain(inputs[name]))),
    query.constant(int32([batch], keys - 1)),
    query.constant(int32([1], keys)),
  ];
  const attributes = { num_heads: heads, kv_num_heads: kvHeads };
  const values = query.nodes('GroupQueryAttention', rows, 3, attributes, 'com.microsoft');
  graphs.push(
    finished('GroupQueryAttention', query, [outputTokensFirst(shape, values[0]), ...present(shape, values)]),
  );
  return graphs;
}
