import { describe, expectTypeOf, it } from 'vitest';
import type {
  AttentionClient,
  AttentionResult,
  AttentionSession,
  GradientsResult,
  ResultTensor,
  ScaledDotProductAttentionCall,
  TopWeights,
} from '../../src/client/index.ts';

/*
 * What the compiler takes and refuses. `tsc` is the judge, as part of `npm run check`: nothing here is ever called.
 */

declare const client: AttentionClient;

const query = [[1, 2]];
const call = { query, key: query, value: query };
const floats = { shape: [1, 2], data: new Float32Array(2) };

describe('calls', () => {
  it('take tensors in every form', () => {
    const never = () => {
      client.scaledDotProductAttention({
        query,
        key: floats,
        value: { dtype: 'float32', shape: [1, 2], data: [1, 2] },
      });
      client.scaledDotProductAttention({
        query: { dtype: 'bfloat16', shape: [1, 2], data: new Uint16Array(2) },
        key: { dtype: 'float32', shape: [1, 2], data: 'AACAPwAAAEA=' },
        value: { shape: [1, 2], data: new Float64Array(2) },
        allow_mask: [[true]],
        forbid_mask: { shape: [1, 1], data: new Uint8Array(1) },
        key_lengths: [1],
        rope: { pairing: 'half', positions: { shape: [1, 1], data: new Int32Array(1) } },
      });
      client.multiHeadAttention({
        embeddings: query,
        heads: 2,
        projections: { w_q: floats, w_k: query, w_v: [[1]] },
      });
      const frozen = [[1, 2]] as const;
      client.scaledDotProductAttention({ query: frozen, key: frozen, value: frozen });
    };
    expectTypeOf(never).toBeFunction();
  });

  it('take back what a call has given', () => {
    const never = async () => {
      const { present_key, present_value } = await client.scaledDotProductAttention({
        ...call,
        return: { kv: true },
      });
      client.scaledDotProductAttention({ ...call, past_key: present_key, past_value: present_value });
    };
    expectTypeOf(never).toBeFunction();
  });

  it('are refused where a field is unknown, missing or of another type', () => {
    const never = () => {
      // @ts-expect-error: no such field
      client.scaledDotProductAttention({ ...call, hedas: 2 });
      // @ts-expect-error: value is missing
      client.scaledDotProductAttention({ query, key: query });
      // @ts-expect-error: not a number
      client.scaledDotProductAttention({ ...call, heads: '2' });
      // @ts-expect-error: not one of the words
      client.scaledDotProductAttention({ ...call, causal: 'upper' });
      // @ts-expect-error: numbers are no mask
      client.scaledDotProductAttention({ ...call, allow_mask: [[1]] });
      // @ts-expect-error: a mask is no numbers
      client.scaledDotProductAttention({ ...call, bias: [[true]] });
      // @ts-expect-error: floats are no mask
      client.scaledDotProductAttention({ ...call, key_valid: floats });
      // @ts-expect-error: a typed array without a shape
      client.scaledDotProductAttention({ ...call, query: new Float32Array(2) });
      // @ts-expect-error: no such stage
      client.scaledDotProductAttention({ ...call, return: { logits: 'row' } });
      // @ts-expect-error: no such result
      client.scaledDotProductAttention({ ...call, return: { weights: true, logit: 'raw' } });
      // @ts-expect-error: the client chooses how results are written
      client.scaledDotProductAttention({ ...call, response: { encoding: 'flat' } });
      // @ts-expect-error: no gradients in bfloat16
      client.gradients({ ...call, grad_output: query, precision: 'bfloat16' });
      // @ts-expect-error: grad_output is missing
      client.gradients(call);
      // @ts-expect-error: projections are missing
      client.multiHeadAttention({ embeddings: query });
      // @ts-expect-error: no such projection
      client.multiHeadAttention({ embeddings: query, projections: { w_x: query } });
      // @ts-expect-error: the layer has its projections
      client.layerAttention('eye', { embeddings: query, projections: {} });
      // @ts-expect-error: a deadline is a number
      client.scaledDotProductAttention(call, { deadlineMs: '100' });
    };
    expectTypeOf(never).toBeFunction();
  });
});

describe('layers and sessions', () => {
  it('are taken as the schemas have them', () => {
    const never = async () => {
      const layer = { heads: 2, projections: { w_q: floats, w_k: query, w_v: query } };
      const { etag } = await client.layers.put('eye', { ...layer, rope: { pairing: 'half' } });
      client.layers.put('eye', layer, { ifMatch: etag, deadlineMs: 1 });
      client.layers.putFile('eye', new Uint8Array(8), { mapping: 'torch', heads: 2, 'window.left': 3 });
      const session = await client.sessions.begin({ layer: 'eye', max_length: 5 });
      session.append({ embeddings: floats, return: { weights: { top_k: 1 } } });
      // @ts-expect-error: projections are missing
      client.layers.put('eye', { heads: 2 });
      // @ts-expect-error: masks belong to a call
      client.layers.put('eye', { ...layer, allow_mask: [[true]] });
      // @ts-expect-error: the address says members of members by their path
      client.layers.putFile('eye', new Uint8Array(8), { mapping: 'torch', window: { left: 3 } });
      // @ts-expect-error: the session knows its position
      session.append({ embeddings: query, expected_position: 3 });
      // @ts-expect-error: the session keeps keys and values
      session.append({ embeddings: query, return: { kv: true } });
      // @ts-expect-error: a session is always on a layer
      client.sessions.begin({});
    };
    expectTypeOf(never).toBeFunction();
  });

  it('give what was asked for', () => {
    const never = async (session: AttentionSession) => {
      const plain = await session.append({ embeddings: query });
      expectTypeOf(plain.position).toEqualTypeOf<number>();
      expectTypeOf(plain.output).toEqualTypeOf<ResultTensor>();
      expectTypeOf(plain).not.toHaveProperty('weights');
      const { weights } = await session.append({ embeddings: query, return: { weights: { top_k: 1 } } });
      expectTypeOf(weights).toEqualTypeOf<TopWeights>();
    };
    expectTypeOf(never).toBeFunction();
  });
});

describe('results', () => {
  const results = () => ({
    plain: client.scaledDotProductAttention(call),
    exact: client.scaledDotProductAttention({ ...call, precision: 'float64' }),
    coarse: client.scaledDotProductAttention({ ...call, precision: 'bfloat16' }),
    all: client.multiHeadAttention({
      embeddings: query,
      projections: {},
      precision: 'float64',
      return: { weights: true, logits: 'raw', log_sum_exp: true, kv: true },
    }),
    top: client.scaledDotProductAttention({ ...call, return: { weights: { top_k: 2, heads: [0] } } }),
    reduced: client.scaledDotProductAttention({ ...call, return: { weights: { reduce: 'mean' } } }),
    without: client.scaledDotProductAttention({ ...call, return: { weights: false } }),
    gradients: client.gradients({ ...call, grad_output: query }),
    layer: client.layerAttention('eye', { embeddings: query, return: { weights: true } }),
    unknown: client.scaledDotProductAttention(call as ScaledDotProductAttentionCall),
  });
  type Results = { [Name in keyof ReturnType<typeof results>]: Awaited<ReturnType<typeof results>[Name]> };

  it('are float64 where the precision is', () => {
    expectTypeOf<Results['plain']['output']>().toEqualTypeOf<ResultTensor<Float32Array>>();
    expectTypeOf<Results['coarse']['output']>().toEqualTypeOf<ResultTensor<Float32Array>>();
    expectTypeOf<Results['layer']['weights']>().toEqualTypeOf<ResultTensor>();
    expectTypeOf<Results['exact']['output']>().toEqualTypeOf<ResultTensor<Float64Array>>();
    expectTypeOf<Results['exact']['output']['dtype']>().toEqualTypeOf<'float64'>();
    expectTypeOf<Results['unknown']['output']['data']>().toEqualTypeOf<Float32Array | Float64Array>();
  });

  it('have what was asked for, and nothing else', () => {
    expectTypeOf<Results['all']['weights']>().toEqualTypeOf<ResultTensor<Float64Array>>();
    expectTypeOf<Results['all']['present_value']>().toEqualTypeOf<ResultTensor<Float64Array>>();
    expectTypeOf<Results['all']['log_sum_exp']>().toEqualTypeOf<ResultTensor<Float64Array>>();
    expectTypeOf<Results['top']['weights']>().toEqualTypeOf<TopWeights<Float32Array>>();
    expectTypeOf<Results['reduced']['weights']>().toEqualTypeOf<ResultTensor<Float32Array>>();
    expectTypeOf<Results['plain']>().not.toHaveProperty('weights');
    expectTypeOf<Results['without']>().not.toHaveProperty('weights');
    expectTypeOf<Results['top']>().not.toHaveProperty('logits');
    expectTypeOf<Results['unknown']['weights']>().toEqualTypeOf<ResultTensor | TopWeights | undefined>();
    expectTypeOf<Results['unknown']['logits']>().toEqualTypeOf<ResultTensor | undefined>();
    expectTypeOf<Results['gradients']['grad_key']>().toEqualTypeOf<ResultTensor<Float32Array>>();
    expectTypeOf<GradientsResult['grad_query']['shape']>().toEqualTypeOf<readonly number[]>();
  });

  it('say what was applied', () => {
    expectTypeOf<AttentionResult['empty_rows']>().toEqualTypeOf<number>();
    expectTypeOf<AttentionResult['applied']['scale']>().toEqualTypeOf<number>();
    expectTypeOf<AttentionResult['applied']['causal_offset']>().toEqualTypeOf<number | number[] | null>();
    expectTypeOf<AttentionResult['applied']['precision']>().toEqualTypeOf<
      'float32' | 'float64' | 'bfloat16'
    >();
  });
});
