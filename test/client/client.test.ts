import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AttentionAbortError,
  AttentionApiError,
  AttentionClient,
  AttentionDeadlineError,
  type AttentionError,
  type AttentionResult,
  type NumberTensor,
} from '../../src/client/index.ts';
import { engineReaches, LONG, listen, post, SDPA, SMALL, send, type TestService } from '../http/support.ts';
import { seeded } from '../support/random.ts';

// biome-ignore lint/suspicious/noExplicitAny: examples are read here as callers without types read them.
type Json = any;

const PATHS: Json = JSON.parse(readFileSync('openapi/openapi.json', 'utf8')).paths;
const EXAMPLES = (
  [
    ['scaledDotProductAttention', '/v1/scaled-dot-product-attention'],
    ['gradients', '/v1/scaled-dot-product-attention/gradients'],
    ['multiHeadAttention', '/v1/multi-head-attention'],
  ] as const
).flatMap(([method, path]) =>
  Object.entries<Json>(PATHS[path].post.requestBody.content['application/json'].examples).map(
    ([name, { value }]) => [method, name, path, value] as const,
  ),
);

/** The call that `LONG` is, with the arrays in reach of the client. */
const long = {
  query: { shape: [4096, 64], data: new Float32Array(4096 * 64).fill(0.5) },
  key: { shape: [4096, 64], data: new Float32Array(4096 * 64).fill(0.5) },
  value: { shape: [4096, 64], data: new Float32Array(4096 * 64).fill(0.5) },
  precision: 'float64',
} as const;

describe('a client of the running service', () => {
  let service: TestService;
  let client: AttentionClient;

  beforeAll(async () => {
    service = await listen();
    client = new AttentionClient(service.url);
  });
  afterAll(async () => {
    await client.close();
    await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    await service.close();
  });

  it.each(EXAMPLES)('%s gives for %s what JSON gives', async (method, _name, path, example) => {
    const { response: _, ...call } = example;
    const { json } = await post(service.url + path, call);
    const result: Json = await client[method as 'gradients'](call);
    expect(asJson(result, call.precision === 'float64')).toEqual(json);
  });

  it.each<[string, NumberTensor]>([
    ['nested arrays', [[1, 2]]],
    ['plain numbers', { shape: [1, 2], data: [1, 2] }],
    ['plain numbers of a dtype', { dtype: 'float64', shape: [1, 2], data: [1, 2] }],
    ['integers of a dtype', { dtype: 'int32', shape: [1, 2], data: [1, 2] }],
    ['a Float32Array', { shape: [1, 2], data: Float32Array.of(1, 2) }],
    ['a Float64Array', { shape: [1, 2], data: Float64Array.of(1, 2) }],
    ['a Float16Array', { shape: [1, 2], data: Float16Array.of(1, 2) as unknown as Float32Array }],
    ['an Int32Array', { shape: [1, 2], data: Int32Array.of(1, 2) }],
    ['a BigInt64Array', { shape: [1, 2], data: BigInt64Array.of(1n, 2n) }],
    ['a part of an array', { shape: [1, 2], data: Float32Array.of(0, 1, 2, 3).subarray(1, 3) }],
    ['an array on shared memory', { shape: [1, 2], data: shared(1, 2) }],
    ['float16 bits', { dtype: 'float16', shape: [1, 2], data: Uint16Array.of(0x3c00, 0x4000) }],
    ['bfloat16 bits', { dtype: 'bfloat16', shape: [1, 2], data: Uint16Array.of(0x3f80, 0x4000) }],
    ['bytes', { dtype: 'float32', shape: [1, 2], data: Uint8Array.of(0, 0, 0x80, 0x3f, 0, 0, 0, 0x40) }],
    ['base64', { dtype: 'float32', shape: [1, 2], data: 'AACAPwAAAEA=' }],
  ])('takes tensors as %s', async (_form, query) => {
    const { output } = await client.scaledDotProductAttention({ ...SMALL, query });
    expect(output).toMatchObject({ dtype: 'float32', shape: [1, 1], data: expect.any(Float32Array) });
    expect(output.data[0]).toBeCloseTo(9.7154448, 5);
  });

  it('takes masks, counts and positions', async () => {
    const masked = (masks: object) => client.scaledDotProductAttention({ ...SMALL, ...masks });
    const first = Float32Array.of(4);
    expect((await masked({ allow_mask: [[true, false]] })).output.data).toEqual(first);
    expect((await masked({ forbid_mask: { shape: [1, 2], data: Uint8Array.of(0, 1) } })).output.data).toEqual(
      first,
    );
    expect((await masked({ allow_mask: { shape: [1, 2], data: [true, false] } })).output.data).toEqual(first);
    expect((await masked({ key_lengths: [1] })).output.data).toEqual(first);
    const rope = {
      pairing: 'half',
      positions: [[7]],
      key_positions: { shape: [1, 2], data: Int32Array.of(7, 7) },
    };
    expect((await masked({ rope })).output.data[0]).toBeCloseTo(9.715445, 4);
  });

  it('gives what is asked for at its place, with masked logits and empty rows as -Infinity', async () => {
    const { weights, logits, log_sum_exp, empty_rows, applied } = await client.scaledDotProductAttention({
      query: [
        [1, 2],
        [3, 4],
      ],
      key: [
        [1, 0],
        [0, 2],
      ],
      value: [[4], [10]],
      allow_mask: [
        [true, false],
        [false, false],
      ],
      return: { weights: { top_k: 1 }, logits: 'masked', log_sum_exp: true },
    });
    expect(weights).toEqual({
      indices: { dtype: 'int32', shape: [1, 2, 1], data: expect.any(Int32Array) },
      values: { dtype: 'float32', shape: [1, 2, 1], data: Float32Array.of(1, 0) },
    });
    expect(logits.data).toEqual(Float32Array.of(Math.SQRT1_2, -Infinity, -Infinity, -Infinity));
    expect(log_sum_exp.data).toEqual(Float32Array.of(Math.SQRT1_2, -Infinity));
    expect(empty_rows).toBe(1);
    expect(applied).toMatchObject({ heads: 1, key_length: 2, precision: 'float32' });
  });

  it('continues from the cache that a call has given', async () => {
    const first = await client.scaledDotProductAttention({ ...SMALL, return: { kv: true } });
    const next = { query: [[1, 1]], key: [[1, 1]], value: [[7]] };
    const { applied } = await client.scaledDotProductAttention({
      ...next,
      past_key: first.present_key,
      past_value: first.present_value,
    });
    expect(applied).toMatchObject({ past_length: 2, key_length: 3 });
  });

  it('calls a registered layer', async () => {
    const eye = [
      [1, 0],
      [0, 1],
    ];
    const layer = { projections: { w_q: eye, w_k: eye, w_v: eye }, heads: 2 };
    const { status } = await send(`${service.url}/v1/layers/eye`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(layer),
    });
    expect(status).toBe(201);
    const embeddings = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    const { output, applied } = await client.layerAttention('eye', { embeddings, causal: true });
    const { output: whole } = await client.multiHeadAttention({ ...layer, embeddings, causal: true });
    expect(output).toEqual(whole);
    expect(applied.layer).toMatchObject({ name: 'eye' });
    await expect(client.layerAttention('../info', { embeddings })).rejects.toBeInstanceOf(AttentionApiError);
  });

  it('carries large tensors, as arrays and nested, to the last bit', async () => {
    const random = seeded(11);
    const rows = 600;
    const width = 512;
    const data = Float32Array.from({ length: rows * width }, () => random.normal());
    const row = (index: number) => Array.from(data.subarray(index * width, (index + 1) * width));
    const tensor = { shape: [rows, width], data };
    const nested = Array.from({ length: rows }, (_, index) => row(index));
    const call = (query: NumberTensor) =>
      ({ query, key: query, value: query, heads: 8, return: { kv: true } }) as const;
    const byArrays = await client.scaledDotProductAttention(call(tensor));
    const byNested = await client.scaledDotProductAttention(call(nested));
    expect(byArrays.output.shape).toEqual([rows, width]);
    expect(same(byArrays.present_key.data, data)).toBe(true);
    expect(same(byArrays.output.data, byNested.output.data)).toBe(true);
    const { json } = await post(service.url + SDPA, { ...call(nested), return: {} });
    expect(same(byArrays.output.data, Float32Array.from(json.output.flat()))).toBe(true);
  });

  it('throws the problem that the service answers', async () => {
    const error = (await client
      .scaledDotProductAttention({ ...SMALL, causal: true }, { requestId: 'wrong-1' })
      .catch((reason) => reason)) as AttentionApiError;
    expect(error).toMatchObject({
      name: 'AttentionApiError',
      status: 422,
      code: 'invalid_option',
      errors: [{ pointer: '/causal', detail: expect.stringContaining('upper_left') }],
      requestId: 'wrong-1',
      retryAfter: null,
      message: expect.stringMatching(/^422, invalid_option, \/causal: true could mean two things/),
    });
  });

  it.each<[string, NumberTensor, string, string]>([
    ['ragged rows', [[1, 2], [3]], 'invalid_tensor', '/query/1'],
    ['NaN in an array', { shape: [1, 2], data: Float32Array.of(1, NaN) }, 'invalid_tensor', '/query'],
    ['numbers beyond float32', [[1e39, 1]], 'invalid_tensor', '/query/0/0'],
    ['the wrong rank', { shape: [2], data: Float32Array.of(1, 2) }, 'shape_mismatch', '/query'],
    ['a list of another length', { shape: [1, 2], data: [1] }, 'invalid_tensor', '/query/data'],
  ])('leaves it to the service to refuse %s', async (_what, query, code, pointer) => {
    const call = client.scaledDotProductAttention({ ...SMALL, query });
    await expect(call).rejects.toMatchObject({ code, errors: [{ pointer }] });
  });

  it.each<[string, NumberTensor, RegExp]>([
    [
      'does not fill its shape',
      { shape: [2, 2], data: Float32Array.of(1) },
      /^query: expected 16 bytes.*\[2, 2\]; got 4/,
    ],
    [
      'is not of its dtype',
      { dtype: 'float64', shape: [1], data: Float32Array.of(1) },
      /^query: .*float64.*Float32Array/,
    ],
    [
      'has no dtype',
      { shape: [1], data: Uint16Array.of(1) } as unknown as NumberTensor,
      /^query: .*got Uint16Array/,
    ],
  ])('refuses an array itself that %s', async (_what, query, words) => {
    const call = client.scaledDotProductAttention({ ...SMALL, query });
    await expect(call).rejects.toThrow(words);
    await expect(call).rejects.toBeInstanceOf(TypeError);
  });

  it('gives up at its deadline, and the service with it', async () => {
    const error: AttentionError = await client
      .scaledDotProductAttention(long, { deadlineMs: 100 })
      .then(unexpected, (reason) => reason);
    expect(error).toBeInstanceOf(AttentionDeadlineError);
    await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    await expect(client.info({ deadlineMs: 0 })).rejects.toThrow(RangeError);
  });

  it('is aborted while it computes, and while it waits for others', async () => {
    const [running, waiting] = [new AbortController(), new AbortController()];
    const first = client.scaledDotProductAttention(long, { signal: running.signal });
    await engineReaches(service.engine, ({ tilesComputed }) => tilesComputed > 0);
    const second = client.scaledDotProductAttention(long, { signal: waiting.signal });
    await engineReaches(service.engine, ({ requests }) => requests === 2);
    waiting.abort(new Error('changed my mind'));
    await expect(second).rejects.toMatchObject({ name: 'AbortError', cause: { message: 'changed my mind' } });
    await engineReaches(service.engine, ({ requests }) => requests === 1);
    running.abort();
    await expect(first).rejects.toBeInstanceOf(AttentionAbortError);
    await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    await expect(client.info({ signal: running.signal })).rejects.toBeInstanceOf(AttentionAbortError);
  });

  it('waits for a place where the service is full', async () => {
    const small = await listen({ limits: { queueRequests: 1 } });
    const patient = new AttentionClient(small.url, { pauseMs: 1 });
    try {
      const first = new AbortController();
      const running = post(small.url + SDPA, LONG, {}, first.signal);
      await engineReaches(small.engine, ({ requests }) => requests === 1);
      const hasty = patient.scaledDotProductAttention(SMALL, { deadlineMs: 500 });
      await expect(hasty).rejects.toMatchObject({ code: 'over_capacity', retryAfter: expect.any(Number) });
      const waiting = patient.scaledDotProductAttention(SMALL);
      first.abort();
      await expect(running).rejects.toThrow();
      expect((await waiting).output.data[0]).toBeCloseTo(9.715445, 5);
    } finally {
      await patient.close();
      await small.close();
    }
  });

  it('describes the service', async () => {
    expect(await client.health()).toEqual({ status: 'ready' });
    expect(await client.info()).toMatchObject({
      name: 'attention-api',
      limits: { body_bytes: 64 * 1024 * 1024 },
    });
  });

  it('takes no calls once it is closed', async () => {
    const closed = new AttentionClient(service.url);
    await closed.health();
    await closed.close();
    await expect(closed.health()).rejects.toThrow('closed');
  });
});

/** A result as JSON has it: tensors nested, null for -Infinity, float32 as the shortest decimal. */
function asJson(value: Json, isFloat64: boolean): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if (ArrayBuffer.isView(value.data)) {
    const numbers = Array.from(value.data as Float64Array, (number) =>
      number === -Infinity ? null : isFloat64 || value.dtype === 'int32' ? number : shortest(number),
    );
    return nest(numbers, value.shape);
  }
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, asJson(member, isFloat64)]));
}

function nest(numbers: readonly Json[], [size, ...inner]: readonly number[]): Json {
  if (inner.length === 0) return numbers;
  const stride = inner.reduce((product, length) => product * length, 1);
  return Array.from({ length: size }, (_, index) =>
    nest(numbers.slice(index * stride, (index + 1) * stride), inner),
  );
}

function shortest(float32: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const decimal = Number(float32.toPrecision(digits));
    if (Math.fround(decimal) === float32) return decimal;
  }
  return float32;
}

function same(one: AttentionResult['output']['data'], other: Float32Array): boolean {
  return one.length === other.length && one.every((value, index) => Object.is(value, other[index]));
}

function shared(...numbers: number[]): Float32Array {
  const array = new Float32Array(new SharedArrayBuffer(numbers.length * 4));
  array.set(numbers);
  return array;
}

function unexpected(): never {
  throw new Error('It was answered.');
}
