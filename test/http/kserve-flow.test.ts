import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startService } from '../support/service-process.ts';
import { getInferenceRequest, type InferInput, InferResult } from '../support/triton.ts';
import { engineReaches, LONG, listen, post, type Reply, SDPA, send, type TestService } from './support.ts';

const MODEL = '/v2/models/scaled-dot-product-attention';
const INFER = `${MODEL}/infer`;
const ONE = { name: 'query', shape: [1, 1], datatype: 'FP32', data: [1] };
const SMALL = { inputs: [ONE, { ...ONE, name: 'key' }, { ...ONE, name: 'value' }] };

/** Seconds of float64 arithmetic on one worker. */
const long = (timeout?: number) => {
  const inputs = ['query', 'key', 'value'].map((name): InferInput => {
    return { name, shape: [4096, 64], datatype: 'FP32', array: new Float32Array(4096 * 64).fill(0.5) };
  });
  const { body, jsonSize } = getInferenceRequest(inputs, {
    parameters: { precision: 'float64' },
    ...(timeout === undefined ? {} : { timeout }),
  });
  return { body, headers: { 'inference-header-content-length': String(jsonSize) } };
};

function expectError({ status, headers, json }: Reply, expected: number, words: RegExp): void {
  expect([status, headers['content-type']]).toEqual([expected, 'application/json']);
  expect(Object.keys(json)).toEqual(['error']);
  expect(json.error).toMatch(words);
}

async function statistics(service: TestService, model = 'scaled-dot-product-attention') {
  return (await send(`${service.url}/v2/models/${model}/stats`)).json.model_stats[0];
}

describe('inference requests that are refused', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await listen({ limits: { bodyBytes: 100_000 } });
  });
  afterAll(async () => {
    await service.close();
    expect(service.engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, workersLost: 0 });
  });

  it.each([
    ['a Content-Type of something else', { 'content-type': 'text/csv' }, 415, /text\/csv/],
    ['another charset', { 'content-type': 'application/json; charset=latin1' }, 415, /UTF-8/],
    ['a Content-Encoding that is none', { 'content-encoding': 'rot13' }, 415, /Content-Encoding/],
    [
      'a length of the JSON in words',
      { 'inference-header-content-length': 'all' },
      400,
      /Inference-Header-Content-Length: expected a number.*"all"/,
    ],
    ['a negative length', { 'inference-header-content-length': '-1' }, 400, /got "-1"/],
    ['half a byte', { 'inference-header-content-length': '1.5' }, 400, /got "1\.5"/],
    [
      'a length beyond the body',
      { 'inference-header-content-length': '100000' },
      400,
      /at most the \d+ bytes/,
    ],
    [
      'a length beyond all numbers',
      { 'inference-header-content-length': '9'.repeat(30) },
      400,
      /got "9{30}"/,
    ],
    ['a length that leaves bytes over', { 'inference-header-content-length': '10' }, 400, /closing brace/],
    ['a deadline in words', { 'x-deadline-ms': 'soon' }, 400, /positive integer/],
  ])('%s', async (_name, headers, status, words) => {
    expectError(
      await post(service.url + INFER, SMALL, headers as unknown as Record<string, string>),
      status,
      words,
    );
  });

  it.each([
    [
      'a mask of another shape',
      {
        inputs: [
          ...SMALL.inputs,
          { name: 'allow_mask', shape: [1, 3], datatype: 'BOOL', data: [true, true, true] },
        ],
      },
      422,
      /^\/allow_mask: Expected \[L, S\] = \[1, 1\]; got \[1, 3\]/,
    ],
    ['an input that is missing', { inputs: [ONE] }, 400, /^\/key: Missing/],
    [
      'an option out of its range',
      { ...SMALL, parameters: { heads: 0 } },
      400,
      /^\/parameters\/heads: Expected an integer >= 1/,
    ],
    [
      'a structured option with a fault',
      { ...SMALL, parameters: { return: '{"weigths":true}' } },
      400,
      /^\/parameters\/return\/weigths: Unknown.*"weights"/,
    ],
    [
      'an option by its dotted name',
      { ...SMALL, parameters: { 'return.weights.top_k': 0 } },
      400,
      /^\/parameters\/return\.weights\.top_k: Expected/,
    ],
    [
      'causal that could mean two things',
      {
        inputs: [
          ...SMALL.inputs.slice(0, 1),
          ...['key', 'value'].map((name) => ({ ...ONE, name, shape: [2, 1], data: [1, 2] })),
        ],
        parameters: { causal: true },
      },
      422,
      /upper_left.*lower_right/,
    ],
    [
      'gradients of rounded arithmetic',
      { ...SMALL, parameters: { precision: 'bfloat17' } },
      400,
      /^\/parameters\/precision: Expected "float32"/,
    ],
    [
      'a sequence',
      { ...SMALL, parameters: { sequence_id: 7, sequence_start: true, sequence_end: false } },
      400,
      /no sequence/,
    ],
  ])('%s', async (_name, body, status, words) => {
    expectError(await post(service.url + INFER, body), status, words);
  });

  it('a body over the limit, by its length and as it comes', async () => {
    expectError(await post(service.url + INFER, ' '.repeat(100_001)), 413, /100000.*100001/);
    const chunks = Array.from({ length: 40 }, () => Buffer.alloc(4096, ' '));
    expectError(
      await send(service.url + INFER, { method: 'POST', body: Readable.from(chunks) }),
      413,
      /100000/,
    );
    const index = await send(`${service.url}/v2/repository/index`, {
      method: 'POST',
      body: Buffer.alloc(300_000, ' '),
    });
    expectError(index, 413, /262144 bytes here; Content-Length says 300000/);
  });

  it('takes a chunked body with bytes in it', async () => {
    const inputs = ['query', 'key', 'value'].map((name): InferInput => {
      return { name, shape: [2, 2], datatype: 'FP64', array: Float64Array.of(1, 2, 3, 4) };
    });
    const { body, jsonSize } = getInferenceRequest(inputs, { outputs: [{ name: 'output', binary: false }] });
    const pieces = [body.subarray(0, 5), body.subarray(5, body.length - 3), body.subarray(body.length - 3)];
    const headers = { 'inference-header-content-length': String(jsonSize) };
    const reply = await send(service.url + INFER, { method: 'POST', headers, body: Readable.from(pieces) });
    expect(reply.status).toBe(200);
    expect(reply.json.outputs[0].shape).toEqual([2, 2]);
  });

  it('and requests of the repository that are none', async () => {
    const sent = (path: string, body: string) => post(`${service.url}/v2/repository/${path}`, body);
    expectError(await sent('index', '{"raedy":true}'), 400, /"raedy"; did you mean "ready"/);
    expectError(await sent('index', '{"ready":1}'), 400, /true or false/);
    expectError(await sent('index', '{"ready"'), 400, /closing brace/);
    expectError(
      await sent('models/multi-head-attention/load', '{"parameters":{"config":"{}"}}'),
      400,
      /no parameters.*"config"/,
    );
  });
});

describe('statistics', () => {
  it('count samples, requests, failures and the time of each step', async () => {
    const service = await listen();
    const before = Date.now();
    const batch = { ...ONE, shape: [64, 1, 1], data: Array(64).fill(1) };
    const inputs = ['query', 'key', 'value'].map((name) => ({ ...batch, name }));
    for (const body of [SMALL, { inputs }, { inputs }]) {
      expect((await post(service.url + INFER, body)).status).toBe(200);
    }
    await post(service.url + INFER, { inputs: [ONE] });
    await post(service.url + INFER, SMALL, { 'inference-header-content-length': 'x' });
    const stats = await statistics(service);
    expect(stats).toMatchObject({
      name: 'scaled-dot-product-attention',
      version: '1',
      inference_count: 129,
      execution_count: 3,
      inference_stats: {
        success: { count: 3 },
        fail: { count: 2 },
        queue: { count: 3 },
        compute_input: { count: 3 },
        compute_infer: { count: 3 },
        compute_output: { count: 3 },
      },
      batch_stats: [
        { batch_size: 1, compute_infer: { count: 1 } },
        { batch_size: 64, compute_infer: { count: 2 } },
      ],
    });
    expect(stats.last_inference).toBeGreaterThanOrEqual(before);
    const { success, compute_input, compute_infer, compute_output } = stats.inference_stats;
    for (const { ns } of [compute_input, compute_infer, compute_output]) expect(ns).toBeGreaterThan(0);
    expect(success.ns).toBeGreaterThan(compute_input.ns + compute_infer.ns + compute_output.ns);
    expect((await statistics(service, 'multi-head-attention')).inference_count).toBe(0);
    const { model_stats } = (await send(`${service.url}/v2/models/stats`)).json;
    expect(model_stats.map(({ inference_count }: { inference_count: number }) => inference_count)).toEqual([
      129, 0, 0,
    ]);
    await service.close();
  });

  it('lose nothing of many requests at once', async () => {
    const service = await listen({ threads: 2 });
    const replies = await Promise.all(
      Array.from({ length: 60 }, (_, at) => {
        return post(service.url + INFER, at % 3 === 0 ? { inputs: [ONE] } : SMALL);
      }),
    );
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(40);
    const { inference_stats, inference_count } = await statistics(service);
    expect([inference_count, inference_stats.success.count, inference_stats.fail.count]).toEqual([
      40, 40, 20,
    ]);
    await service.close();
  });
});

describe('an inference request that takes long', () => {
  it('ends with 504 when its timeout, in microseconds, has passed', async () => {
    const service = await listen();
    const { body, headers } = long(100_000);
    const reply = await send(service.url + INFER, { method: 'POST', body, headers });
    expectError(reply, 504, /not done within 100 ms/);
    await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    expect((await statistics(service)).inference_stats.fail.count).toBe(1);
    const soon = await post(service.url + INFER, { ...SMALL, parameters: { timeout: 1 } });
    expectError(soon, 504, /not done within 0\.001 ms/);
    expect((await post(service.url + INFER, { ...SMALL, parameters: { timeout: 60e6 } })).status).toBe(200);
    await service.close();
  });

  it('is given up when its client goes away, and counted as a failure', async () => {
    const service = await listen();
    const client = new AbortController();
    const { body, headers } = long();
    const answer = send(service.url + INFER, { method: 'POST', body, headers, signal: client.signal });
    await engineReaches(service.engine, ({ tilesComputed }) => tilesComputed > 0);
    client.abort();
    await expect(answer).rejects.toThrow();
    await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    expect((await statistics(service)).inference_stats.fail.count).toBe(1);
    await service.close();
  });

  it('refuses those for which there is no room, with the time to come back', async () => {
    const service = await listen({ limits: { queueRequests: 1 } });
    const client = new AbortController();
    const first = post(service.url + SDPA, LONG, {}, client.signal);
    await engineReaches(service.engine, ({ requests }) => requests === 1);
    const reply = await post(service.url + INFER, SMALL);
    expectError(reply, 503, /working on 1 requests/);
    expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect((await send(`${service.url}/v2/health/ready`)).json).toEqual({ ready: true, live: true });
    client.abort();
    await expect(first).rejects.toThrow();
    await engineReaches(service.engine, ({ requests }) => requests === 0);
    await service.close();
  });
});

it('a service that is stopping is live and not ready, and so are its models, while it still answers', async () => {
  const service = await startService({ env: { SHUTDOWN_DELAY_MS: '3000' } });
  service.kill('SIGTERM');
  await service.line('stopping');
  const ready = await send(`${service.url}/v2/health/ready`);
  expect([ready.status, ready.json]).toEqual([503, { ready: false, live: true }]);
  expect((await send(`${service.url}/v2/health/live`)).json).toEqual({ live: true });
  const model = await send(`${service.url}${MODEL}/ready`);
  expect([model.status, model.json]).toEqual([503, { name: 'scaled-dot-product-attention', ready: false }]);
  expect((await post(`${service.url}/v2/repository/index`, {})).json[0]).toEqual({
    name: 'scaled-dot-product-attention',
    version: '1',
    state: 'UNAVAILABLE',
    reason: 'The server is not ready.',
  });
  expect((await post(`${service.url}/v2/repository/index`, { ready: true })).json).toEqual([]);
  expect((await post(service.url + INFER, SMALL)).status).toBe(200);
  await service.exited;
});

it('results in binary hold -Infinity where JSON has null', async () => {
  const service = await listen();
  const inputs: InferInput[] = [
    { name: 'query', shape: [1, 1], datatype: 'FP32', array: Float32Array.of(1) },
    { name: 'key', shape: [2, 1], datatype: 'FP32', array: Float32Array.of(1, 2) },
    { name: 'value', shape: [2, 1], datatype: 'FP32', array: Float32Array.of(1, 2) },
    { name: 'forbid_mask', shape: [1, 2], datatype: 'BOOL', array: Uint8Array.of(0, 1) },
  ];
  const asked = (binary: boolean) => {
    const options = { outputs: [{ name: 'logits', binary }], parameters: { 'return.logits': 'masked' } };
    const { body, jsonSize } = getInferenceRequest(inputs, options);
    const headers = { 'inference-header-content-length': String(jsonSize) };
    return fetch(service.url + INFER, { method: 'POST', body, headers });
  };
  const binary = await asked(true);
  const length = binary.headers.get('inference-header-content-length') ?? '';
  const result = new InferResult(new Uint8Array(await binary.arrayBuffer()), length);
  expect(result.asNumpy('logits').values).toEqual([1, Number.NEGATIVE_INFINITY]);
  expect(await (await asked(false)).json()).toMatchObject({ outputs: [{ data: [1, null] }] });
  await service.close();
});
