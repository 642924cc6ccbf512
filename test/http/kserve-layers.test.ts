import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import { getInferenceRequest, InferResult } from '../support/triton.ts';
import { listen, post, send, type TestService } from './support.ts';

const LAYER = 'encoder.0';
const MODEL = `/v2/models/${LAYER}`;
const WEIGHT = [
  [1, 0.5],
  [-0.25, 2],
];

let service: TestService;
beforeAll(async () => {
  service = await listen();
  for (const name of [LAYER, 'multi-head-attention']) {
    const reply = await send(`${service.url}/v1/layers/${name}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ projections: { w_q: WEIGHT, w_k: WEIGHT, w_v: WEIGHT }, heads: 2 }),
    });
    expect(reply.status, reply.text).toBe(201);
  }
});
afterAll(() => service.close());

it('a registered layer is a model, listed and described; operations come first where names meet', async () => {
  const { models } = (await send(`${service.url}/v2/models`)).json;
  expect(models.slice(2)).toEqual(['multi-head-attention', LAYER]);
  const index = (await send(`${service.url}/v2/repository/index`, { method: 'POST' })).json;
  expect(index.at(-1)).toEqual({ name: LAYER, version: '1', state: 'READY', reason: '' });
  const { inputs } = (await send(service.url + MODEL)).json;
  expect(inputs[0]).toEqual({ name: 'embeddings', datatype: 'FP32', shape: [-1, -1, -1] });
  expect(inputs.map(({ name }: { name: string }) => name)).not.toContain('projections.w_q');
  const operation = (await send(`${service.url}/v2/models/multi-head-attention`)).json;
  expect(operation.inputs.map(({ name }: { name: string }) => name)).toContain('projections.w_q');
  expect((await send(`${service.url + MODEL}/versions/1/ready`)).json).toEqual({ name: LAYER, ready: true });
});

it('is called with embeddings alone, to the bits of its own address, and counted', async () => {
  const array = Float32Array.from({ length: 12 }, (_, at) => Math.sin(at));
  const request = getInferenceRequest([{ name: 'embeddings', shape: [2, 3, 2], datatype: 'FP32', array }], {
    parameters: { causal: 'upper_left' },
  });
  const reply = await fetch(`${service.url + MODEL}/infer`, {
    method: 'POST',
    headers: { 'inference-header-content-length': String(request.jsonSize) },
    body: Uint8Array.from(request.body),
  });
  const length = reply.headers.get('inference-header-content-length') ?? undefined;
  const result = new InferResult(new Uint8Array(await reply.arrayBuffer()), length);
  const { json } = await post(`${service.url}/v1/layers/${LAYER}/attention`, {
    embeddings: { shape: [2, 3, 2], data: [...array] },
    causal: 'upper_left',
    response: { encoding: 'flat' },
  });
  expect(result.asNumpy('output').values).toEqual(json.output.data.map(Math.fround));
  expect(JSON.parse(String(result.response.parameters?.applied))).toEqual(json.applied);
  const { model_stats } = (await send(`${service.url + MODEL}/stats`)).json;
  expect(model_stats[0]).toMatchObject({ name: LAYER, inference_count: 2, execution_count: 1 });
  expect((await send(`${service.url}/v2/models/stats`)).json.model_stats).toHaveLength(4);
});

it('is loaded, unloaded, opened again by a call, and gone with the layer', async () => {
  const repository = `${service.url}/v2/repository/models/${LAYER}`;
  expect((await post(`${repository}/load`, {})).json).toEqual({ name: LAYER, load: true });
  const openLayers = async () => (await send(`${service.url}/v1/info`)).json.layers.open;
  const open = await openLayers();
  const unloaded = await post(`${repository}/unload`, {});
  expect([unloaded.status, unloaded.json]).toEqual([200, { name: LAYER, load: false }]);
  expect(await openLayers()).toBe(open - 1);
  expect((await post(`${service.url}/v1/layers/${LAYER}/attention`, { embeddings: [[1, 2]] })).status).toBe(
    200,
  );
  expect(await openLayers()).toBe(open);
  expect((await send(`${service.url}/v1/layers/${LAYER}`, { method: 'DELETE' })).status).toBe(204);
  for (const path of [MODEL, `${MODEL}/ready`, `${MODEL}/stats`]) {
    expect((await send(service.url + path)).status).toBe(404);
  }
  expect((await post(`${service.url + MODEL}/infer`, {})).json).toEqual({
    error: `There is no model "${LAYER}"; GET /v2/models lists all.`,
  });
});

it.each(['..%2f..%2fetc', '%2e%2e', 'A', '.hidden', 'a'.repeat(65), '%00'])(
  'no name leads anywhere else: %s',
  async (name) => {
    const reply = await send(`${service.url}/v2/models/${name}/ready`);
    expect([reply.status, reply.headers['content-type']]).toEqual([404, 'application/json']);
    expect(reply.json.error).toMatch(/^There is no/);
  },
);

it('calls that follow each other look once for what a name has; who asks about a model sees the store', async () => {
  const store = new MemoryStore();
  const find = vi.spyOn(store, 'find');
  const other = await listen({ store });
  try {
    const body = JSON.stringify({ projections: { w_q: WEIGHT, w_k: WEIGHT, w_v: WEIGHT }, heads: 2 });
    const layer = `${other.url}/v1/layers/a`;
    await send(layer, { method: 'PUT', headers: { 'content-type': 'application/json' }, body });
    const inputs = [{ name: 'embeddings', shape: [1, 1, 2], datatype: 'FP32', data: [1, 2] }];
    const infer = () => post(`${other.url}/v2/models/a/infer`, { inputs });
    expect((await infer()).status).toBe(200);
    const atMs = performance.now();
    const clock = vi.spyOn(performance, 'now').mockReturnValue(atMs);
    find.mockClear();
    for (let call = 0; call < 10; call++) expect((await infer()).status).toBe(200);
    expect(find).not.toHaveBeenCalled();
    clock.mockReturnValue(atMs + 1500);
    await infer();
    expect(find).toHaveBeenCalledOnce();
    expect((await send(`${other.url}/v2/models/a`)).status).toBe(200);
    expect(find).toHaveBeenCalledTimes(2);
    await send(layer, { method: 'DELETE' });
    expect((await infer()).status).toBe(404);
  } finally {
    vi.restoreAllMocks();
    await other.close();
  }
});
