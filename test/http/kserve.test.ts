import { once } from 'node:events';
import { connect } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  getInferenceRequest,
  type InferInput,
  type InferOptions,
  InferResult,
  type RequestBody,
} from '../support/triton.ts';
import { listen, post, SDPA, SMALL, send, type TestService } from './support.ts';

/*
 * What the Python tritonclient sends, byte for byte, and how it reads what comes back: the synchronous client
 * (geventhttpclient) and the one on asyncio (aiohttp).
 */

const MODEL = '/v2/models/scaled-dot-product-attention';

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 2 });
});
afterAll(async () => {
  expect((await post(service.url + SDPA, SMALL)).status).toBe(200);
  await service.close();
  expect(service.engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, workersLost: 0 });
});

interface RawReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Writes a request to a socket as it stands, and reads the response to its end. */
async function exchange(lines: readonly string[], body: Uint8Array | string = ''): Promise<RawReply> {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(`${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`);
  socket.write(body);
  await once(socket, 'close');
  const all = Buffer.concat(chunks);
  const end = all.indexOf('\r\n\r\n');
  const [statusLine, ...fields] = all.toString('latin1', 0, end).split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => {
      const colon = field.indexOf(':');
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
    }),
  );
  const content = all.subarray(end + 4);
  expect(content.length).toBe(Number(headers['content-length']));
  return { status: Number(statusLine.split(' ')[1]), headers, body: content };
}

/** Headers of the synchronous client: none but Host, Content-Length, and what `infer` adds. */
function geventHeaders(
  path: string,
  body: Uint8Array | string,
  added: Record<string, string> = {},
): string[] {
  const lines = [
    `POST ${path} HTTP/1.1`,
    'User-Agent: python/gevent-http-client-2.3.1',
    'Host: localhost:8080',
  ];
  for (const [name, value] of Object.entries(added)) lines.push(`${name}: ${value}`);
  return [...lines, `content-length: ${Buffer.byteLength(body)}`];
}

/** Headers of aiohttp, which names a type for every body, also an empty one. */
function aiohttpHeaders(
  path: string,
  body: Uint8Array | string,
  added: Record<string, string> = {},
): string[] {
  const lines = [`POST ${path} HTTP/1.1`, 'Host: localhost:8080'];
  for (const [name, value] of Object.entries(added)) lines.push(`${name}: ${value}`);
  return [
    ...lines,
    'Accept: */*',
    'Accept-Encoding: gzip, deflate, br, zstd',
    'User-Agent: Python/3.12 aiohttp/3.12.15',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Content-Type: application/octet-stream',
  ];
}

function lengthHeader({ jsonSize }: RequestBody): Record<string, string> {
  return jsonSize === null ? {} : { 'Inference-Header-Content-Length': String(jsonSize) };
}

const inputs = (binary: boolean): InferInput[] => [
  { name: 'query', shape: [1, 2], datatype: 'FP32', array: Float32Array.of(1, 2), binary },
  { name: 'key', shape: [2, 2], datatype: 'FP32', array: Float32Array.of(1, 0, 0, 2), binary },
  { name: 'value', shape: [2, 1], datatype: 'FP32', array: Float32Array.of(4, 10), binary },
];
const OPTIONS: InferOptions = { parameters: { scale: 1, return: '{"weights":true}' } };
const WEIGHTS = [1 / (1 + Math.exp(3)), 1 / (1 + Math.exp(-3))];

function expectResult({ status, headers, body }: RawReply, binary: boolean): InferResult {
  expect(status, body.toString()).toBe(200);
  expect(headers['content-type']).toBe(binary ? 'application/octet-stream' : 'application/json');
  expect('inference-header-content-length' in headers).toBe(binary);
  const result = new InferResult(body, headers['inference-header-content-length']);
  const output = result.asNumpy('output');
  expect(output.shape).toEqual([1, 1]);
  expect(output.values[0]).toBeCloseTo(4 * WEIGHTS[0] + 10 * WEIGHTS[1], 5);
  return result;
}

describe('the synchronous Python client', () => {
  it('sends the bytes that were captured', () => {
    const one = { name: 'query', shape: [1, 4], datatype: 'FP32', array: Float32Array.of(1, 2, 3, 4) };
    const binary = getInferenceRequest([one], { requestId: '42' });
    expect([binary.jsonSize, binary.body.length]).toEqual([149, 165]);
    expect(binary.body.toString('utf8', 0, 149)).toBe(
      '{"id":"42","inputs":[{"name":"query","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}],' +
        '"parameters":{"binary_data_output":true}}',
    );
    expect(getInferenceRequest([one]).jsonSize).toBe(139);
    const json = getInferenceRequest([{ ...one, binary: false }], {
      outputs: [{ name: 'output', binary: false }],
    });
    expect(json.jsonSize).toBeNull();
    expect(json.body.toString()).toBe(
      '{"inputs":[{"name":"query","shape":[1,4],"datatype":"FP32","data":[1.0,2.0,3.0,4.0]}],' +
        '"outputs":[{"name":"output","parameters":{"binary_data":false}}]}',
    );
  });

  it('in binary: no Content-Type, the length of the JSON', async () => {
    const request = getInferenceRequest(inputs(true), { ...OPTIONS, requestId: '42' });
    const lines = geventHeaders(`${MODEL}/infer`, request.body, lengthHeader(request));
    const result = expectResult(await exchange(lines, request.body), true);
    expect(result.response).toMatchObject({
      model_name: 'scaled-dot-product-attention',
      model_version: '1',
      id: '42',
      parameters: { empty_rows: 0 },
    });
    expect(JSON.parse(String(result.response.parameters?.applied))).toMatchObject({ scale: 1, batch: 1 });
    const weights = result.asNumpy('weights');
    expect(weights.shape).toEqual([1, 1, 2]);
    expect(weights.values[0]).toBeCloseTo(WEIGHTS[0], 6);
  });

  it('in JSON: neither of the two headers', async () => {
    const outputs = [{ name: 'output', binary: false }];
    const { body, jsonSize } = getInferenceRequest(inputs(false), { ...OPTIONS, outputs });
    expect(jsonSize).toBeNull();
    const result = expectResult(await exchange(geventHeaders(`${MODEL}/infer`, body), body), false);
    expect(result.response.outputs.map(({ name }) => name)).toEqual(['output']);
    expect(result.response.id).toBeUndefined();
  });

  it('in JSON with binary outputs, and with one of each', async () => {
    const { body } = getInferenceRequest(inputs(false), OPTIONS);
    expectResult(await exchange(geventHeaders(`${MODEL}/infer`, body), body), true);
    const outputs = [
      { name: 'weights', binary: true },
      { name: 'output', binary: false },
    ];
    const mixed = getInferenceRequest(inputs(true), { outputs, parameters: { scale: 1 } });
    const lines = geventHeaders(`${MODEL}/infer`, mixed.body, lengthHeader(mixed));
    const result = expectResult(await exchange(lines, mixed.body), true);
    expect(result.response.outputs[0].parameters).toEqual({ binary_data_size: 8 });
    expect(result.asNumpy('weights').values[1]).toBeCloseTo(WEIGHTS[1], 6);
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const)('in %s: the length of the JSON is the one before', async (coding, compress) => {
    const request = getInferenceRequest(inputs(true), OPTIONS);
    const body = compress(request.body);
    const added = { 'Content-Encoding': coding, ...lengthHeader(request) };
    expectResult(await exchange(geventHeaders(`${MODEL}/infer`, body, added), body), true);
    const long = getInferenceRequest(inputs(true), { ...OPTIONS, parameters: { note: 'a'.repeat(200) } });
    expect(compress(long.body).length).toBeLessThan(long.jsonSize as number);
    const refused = await exchange(
      geventHeaders(`${MODEL}/infer`, compress(long.body), {
        'Content-Encoding': coding,
        ...lengthHeader(long),
      }),
      compress(long.body),
    );
    // Its length is right, and its parameter is no option.
    expect(refused.body.toString()).toMatch(/Unknown field \\"note\\"/);
  });

  it('by version', async () => {
    const request = getInferenceRequest(inputs(true), OPTIONS);
    const path = `${MODEL}/versions/1/infer`;
    expectResult(
      await exchange(geventHeaders(path, request.body, lengthHeader(request)), request.body),
      true,
    );
  });

  it('reads the error of what is wrong', async () => {
    const request = getInferenceRequest(inputs(true), { parameters: { hedas: 2 } });
    const lines = geventHeaders(`${MODEL}/infer`, request.body, lengthHeader(request));
    const { status, headers, body } = await exchange(lines, request.body);
    expect([status, headers['content-type']]).toEqual([400, 'application/json']);
    expect(JSON.parse(body.toString()).error).toMatch(/"hedas"; did you mean "heads"/);
  });

  it('asks for the index with an empty body', async () => {
    const { status, body } = await exchange(geventHeaders('/v2/repository/index', ''));
    expect(status).toBe(200);
    expect(JSON.parse(body.toString())).toContainEqual({
      name: 'multi-head-attention',
      version: '1',
      state: 'READY',
      reason: '',
    });
  });
});

describe('the Python client on asyncio', () => {
  it('in binary: an octet-stream, the length of the JSON', async () => {
    const request = getInferenceRequest(inputs(true), OPTIONS);
    const lines = aiohttpHeaders(`${MODEL}/infer`, request.body, lengthHeader(request));
    expectResult(await exchange(lines, request.body), true);
  });

  it('in JSON: an octet-stream, no length of the JSON', async () => {
    const outputs = [{ name: 'output', binary: false }];
    const { body } = getInferenceRequest(inputs(false), { ...OPTIONS, outputs });
    expectResult(await exchange(aiohttpHeaders(`${MODEL}/infer`, body), body), false);
  });

  it('gets no coding but gzip, since it undoes no other that it accepts, and none where it undoes none', async () => {
    const count = 4000;
    const wide: InferInput[] = [
      { name: 'query', shape: [1, 1], datatype: 'FP32', array: Float32Array.of(1), binary: false },
      { name: 'key', shape: [1, 1], datatype: 'FP32', array: Float32Array.of(1), binary: false },
      { name: 'value', shape: [1, count], datatype: 'FP32', array: new Float32Array(count), binary: false },
    ];
    const { body } = getInferenceRequest(wide, { outputs: [{ name: 'output', binary: false }] });
    const { headers } = await exchange(aiohttpHeaders(`${MODEL}/infer`, body), body);
    expect(headers['content-encoding']).toBe('gzip');
    const { headers: plain } = await exchange(
      aiohttpHeaders('/v2/models/stats', '').map((line) => line.replace('POST', 'GET')),
    );
    expect(plain['content-encoding']).toBeUndefined();
  });

  it('loads a model with "{}", and learns why one is not unloaded', async () => {
    const loaded = await exchange(
      aiohttpHeaders('/v2/repository/models/multi-head-attention/load', '{}'),
      '{}',
    );
    expect([loaded.status, JSON.parse(loaded.body.toString())]).toEqual([
      200,
      { name: 'multi-head-attention', load: true },
    ]);
    const body = '{"parameters":{"unload_dependents":false}}';
    const path = '/v2/repository/models/multi-head-attention/unload';
    const unloaded = await exchange(aiohttpHeaders(path, body), body);
    expect(unloaded.status).toBe(400);
    expect(JSON.parse(unloaded.body.toString()).error).toMatch(/built in and cannot be unloaded/);
  });

  it('asks for the index with an octet-stream of nothing', async () => {
    const { status, body } = await exchange(aiohttpHeaders('/v2/repository/index', ''));
    expect(status).toBe(200);
    expect(JSON.parse(body.toString())).toHaveLength(3);
  });
});

describe('the same call', () => {
  it('has the same bits in JSON, in KServe JSON and in KServe binary', async () => {
    const random = (count: number) =>
      Float32Array.from({ length: count }, (_, at) => Math.sin(at * 12.9898) * 3);
    const [query, key, value] = [random(6 * 8), random(10 * 8), random(10 * 8)];
    const body = {
      query: { shape: [1, 6, 8], data: [...query] },
      key: { shape: [1, 10, 8], data: [...key] },
    };
    const json = await post(service.url + SDPA, {
      ...body,
      value: { shape: [1, 10, 8], data: [...value] },
      heads: 2,
      causal: 'lower_right',
      window: { left: 4 },
      return: { weights: { top_k: 2 }, logits: 'masked', log_sum_exp: true },
      response: { encoding: 'flat' },
    });
    const options: InferOptions = {
      parameters: {
        heads: 2,
        causal: 'lower_right',
        window: '{"left":4}',
        return: '{"weights":{"top_k":2},"logits":"masked","log_sum_exp":true}',
      },
    };
    for (const binary of [true, false]) {
      const request = getInferenceRequest(
        [
          { name: 'query', shape: [1, 6, 8], datatype: 'FP32', array: query, binary },
          { name: 'key', shape: [1, 10, 8], datatype: 'FP32', array: key, binary },
          { name: 'value', shape: [1, 10, 8], datatype: 'FP32', array: value, binary },
        ],
        options,
      );
      const lines = geventHeaders(`${MODEL}/infer`, request.body, lengthHeader(request));
      const { status, headers, body: content } = await exchange(lines, request.body);
      expect(status, content.toString()).toBe(200);
      const result = new InferResult(content, headers['inference-header-content-length']);
      const expected = {
        output: json.json.output,
        'weights.indices': json.json.weights.indices,
        'weights.values': json.json.weights.values,
        logits: json.json.logits,
        log_sum_exp: json.json.log_sum_exp,
      };
      expect(result.response.outputs.map(({ name }) => name)).toEqual(Object.keys(expected));
      for (const [name, { shape, data }] of Object.entries(expected)) {
        const numbers = data.map((one: number | null) => Math.fround(one ?? Number.NEGATIVE_INFINITY));
        expect(result.asNumpy(name), name).toEqual({ shape, values: numbers });
      }
      expect(JSON.parse(String(result.response.parameters?.applied))).toEqual(json.json.applied);
    }
  });

  it('may be large, and is then read and written in the workers', async () => {
    const rows = 700;
    const numbers = Float32Array.from({ length: rows * 64 }, (_, at) => (at % 17) / 16);
    for (const binary of [true, false]) {
      const request = getInferenceRequest(
        ['query', 'key', 'value'].map((name) => ({
          name,
          shape: [rows, 64],
          datatype: 'FP32',
          array: numbers,
          binary,
        })),
        { parameters: { heads: 4 } },
      );
      const lines = geventHeaders(`${MODEL}/infer`, request.body, lengthHeader(request));
      const { status, headers, body } = await exchange(lines, request.body);
      expect(status).toBe(200);
      const { shape, values } = new InferResult(body, headers['inference-header-content-length']).asNumpy(
        'output',
      );
      expect(shape).toEqual([rows, 64]);
      expect(values.every((one) => one >= 0 && one <= 1)).toBe(true);
    }
  });

  it('of gradients and of a layer, by the last names of its inputs', async () => {
    const tensor = (name: string, ...shape: number[]): InferInput => {
      const count = shape.reduce((product, size) => product * size, 1);
      return { name, shape, datatype: 'FP32', array: new Float32Array(count).fill(1) };
    };
    const gradients = getInferenceRequest(
      ['query', 'key', 'value', 'grad_output'].map((name) => tensor(name, 2, 2)),
    );
    const path = '/v2/models/scaled-dot-product-attention-gradients/infer';
    const answer = await exchange(
      geventHeaders(path, gradients.body, lengthHeader(gradients)),
      gradients.body,
    );
    const names = new InferResult(answer.body, answer.headers['inference-header-content-length']).response
      .outputs;
    expect(names.map(({ name }) => name).sort()).toEqual(['grad_key', 'grad_query', 'grad_value', 'output']);

    const layer = getInferenceRequest([
      tensor('embeddings', 3, 2, 2),
      ...['w_q', 'w_k', 'w_v', 'w_o'].map((name) => tensor(name, 2, 2)),
      tensor('b_o', 2),
    ]);
    const reply = await exchange(
      geventHeaders('/v2/models/multi-head-attention/infer', layer.body, lengthHeader(layer)),
      layer.body,
    );
    const result = new InferResult(reply.body, reply.headers['inference-header-content-length']);
    expect(result.asNumpy('output')).toEqual({ shape: [3, 2, 2], values: Array(12).fill(5) });
  });
});

describe('addresses', () => {
  it.each([
    ['GET', '/v2', 200],
    ['GET', '/v2/health/live', 200],
    ['GET', '/v2/health/ready', 200],
    ['GET', '/v2/models', 200],
    ['GET', '/v2/models/multi-head-attention', 200],
    ['GET', '/v2/models/multi-head-attention/versions/1', 200],
    ['GET', '/v2/models/multi-head-attention/ready', 200],
    ['GET', '/v2/models/multi-head-attention/versions/1/ready', 200],
    ['GET', '/v2/models/multi-head-attention/versions/1/stats', 200],
    ['GET', '/v2/models/nothing', 404],
    ['GET', '/v2/models/nothing/ready', 404],
    ['GET', '/v2/models/nothing/stats', 404],
    ['GET', '/v2/models/multi-head-attention/versions/2', 404],
    ['GET', '/v2/models/multi-head-attention/versions/one', 400],
    ['GET', '/v2/nowhere', 404],
    ['GET', '/v2/models/%zz', 400],
    ['POST', '/v2/models/nothing/infer', 404],
    ['POST', '/v2/models/multi-head-attention/versions/2/infer', 404],
    ['POST', '/v2/models/multi-head-attention/versions/x/infer', 400],
    ['POST', '/v2/repository/models/nothing/load', 404],
    ['POST', '/v2/repository/models/nothing/unload', 404],
    ['POST', '/v2/models', 405],
    ['GET', '/v2/repository/index', 405],
    ['DELETE', '/v2/models/multi-head-attention/infer', 405],
  ] as const)('%s %s answers %i, errors as the protocol says them', async (method, path, status) => {
    const reply = await send(service.url + path, { method });
    expect(reply.status).toBe(status);
    expect(reply.headers['content-type']).toBe('application/json');
    if (status >= 400) expect(Object.keys(reply.json)).toEqual(['error']);
    else expect(reply.json).not.toHaveProperty('error');
    if (status === 405) expect(reply.headers.allow).toMatch(/OPTIONS/);
  });

  it('say what the server and its models are', async () => {
    const { json } = await send(`${service.url}/v2`);
    expect(json).toEqual({
      name: 'attention-api',
      version: expect.any(String),
      extensions: [
        'binary_tensor_data',
        'model_repository',
        'parameters',
        'sequence',
        'sequence(string_id)',
        'statistics',
      ],
    });
    const { models } = (await send(`${service.url}/v2/models`)).json;
    for (const name of models) {
      const model = (await send(`${service.url}/v2/models/${name}`)).json;
      expect(model).toMatchObject({ name, versions: ['1'], platform: 'attention-api' });
      const tensors = [...model.inputs, ...model.outputs];
      expect(tensors.length).toBeGreaterThan(10);
      for (const { shape } of tensors) expect(shape.every((size: number) => size === -1)).toBe(true);
    }
    const layer = (await send(`${service.url}/v2/models/multi-head-attention`)).json;
    expect(layer.inputs).toContainEqual({ name: 'projections.w_q', datatype: 'FP32', shape: [-1, -1] });
    expect(layer.inputs).toContainEqual({ name: 'key_lengths', datatype: 'INT64', shape: [-1] });
    expect(layer.inputs).toContainEqual({ name: 'allow_mask', datatype: 'BOOL', shape: [-1, -1, -1, -1] });
    expect(layer.outputs[0]).toEqual({ name: 'output', datatype: 'FP32', shape: [-1, -1, -1] });
  });
});
