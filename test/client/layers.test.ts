import { afterAll, beforeAll, expect, it } from 'vitest';
import { AttentionClient, type LayerDefinition } from '../../src/client/index.ts';
import { put, TOKENS, TWO_HEADS } from '../http/layers/support.ts';
import { LAYERS, WIDTH } from '../http/sessions/layers.ts';
import { listen, send, type TestService } from '../http/support.ts';

let service: TestService;
let client: AttentionClient;
beforeAll(async () => {
  service = await listen();
  client = new AttentionClient(service.url);
});
afterAll(async () => {
  await client.close();
  await service.close();
});

it('registers what JSON registers, tensors in any form', async () => {
  const { w_q, w_k, w_v, w_o } = TWO_HEADS.projections;
  const options = {
    heads: 2,
    causal: 'lower_right',
    sinks: [0.5, -1],
    rope: { pairing: 'half', theta: 100 },
  } as const;
  const projections = { w_q, w_k, w_v, w_o, b_q: [1, 2, 3, 4] };
  const { json } = await put(`${service.url}/v1/layers/by-json`, { ...options, projections });
  const typed: LayerDefinition = {
    ...options,
    sinks: { shape: [2], data: Float32Array.of(0.5, -1) },
    projections: {
      ...projections,
      w_q: { shape: [4, 4], data: Float32Array.from(w_q.flat()) },
      b_q: { shape: [4], data: Float32Array.of(1, 2, 3, 4) },
    },
  };
  for (const layer of [typed, { ...options, projections }]) {
    expect(await client.layers.put('typed', layer)).toEqual({ ...json, name: 'typed' });
  }
  const names = (await client.layers.list()).map(({ name }) => name);
  expect(names).toEqual(['by-json', 'typed']);
  expect(await client.layers.get('typed')).toEqual({ ...json, name: 'typed' });
});

it('sends a layer back as the file that it is, which registers the same', async () => {
  const { etag, bytes } = await client.layers.put('original', TWO_HEADS);
  const file = await client.layers.projections('original');
  expect(file).toHaveLength(bytes);
  expect((await client.layers.putFile('copy', file)).etag).toBe(etag);
  const embeddings = TOKENS;
  const [one, other] = await Promise.all(
    ['original', 'copy'].map((name) => client.layerAttention(name, { embeddings })),
  );
  expect(one.output).toEqual(other.output);
});

it('registers a layer out of a file of others', async () => {
  const file = LAYERS['hf_llama with one key head and a window'].body as Uint8Array;
  const { options, tensors } = await client.layers.putFile('llama', file, {
    mapping: 'hf_llama',
    prefix: 'model.layers.1',
    heads: 4,
    'rope.theta': 500_000,
    'window.left': 20,
  });
  expect(options).toMatchObject({ heads: 4, kv_heads: 1, rope: { theta: 500_000 }, window: { left: 20 } });
  expect(tensors.w_q.shape).toEqual([WIDTH, WIDTH]);
  const wrong = client.layers.putFile('llama', file, { mapping: 'hf_bert', heads: 4 });
  await expect(wrong).rejects.toMatchObject({ status: 422, code: 'mapping_mismatch' });
});

it('changes only what is there as it is known', async () => {
  const { layers } = client;
  const failed = { status: 412, code: 'precondition_failed' };
  const first = await layers.put('known', TWO_HEADS, { isNew: true });
  await expect(layers.put('known', TWO_HEADS, { isNew: true })).rejects.toMatchObject(failed);
  const second = await layers.put('known', { ...TWO_HEADS, scale: 0.3 }, { ifMatch: first.etag });
  expect(second.etag).not.toBe(first.etag);
  await expect(layers.put('known', TWO_HEADS, { ifMatch: first.etag })).rejects.toMatchObject(failed);
  await expect(layers.delete('known', { ifMatch: first.etag })).rejects.toMatchObject(failed);
  expect((await layers.get('known')).etag).toBe(second.etag);
  await layers.delete('known', { ifMatch: second.etag });
  const gone = { status: 404, code: 'not_found' };
  await expect(layers.get('known')).rejects.toMatchObject(gone);
  await expect(layers.projections('known')).rejects.toMatchObject(gone);
  await expect(layers.delete('known')).rejects.toMatchObject(gone);
});

it('leads nowhere else by a name, and takes the words of the service', async () => {
  await expect(client.layers.delete('../sessions')).rejects.toMatchObject({ code: expect.any(String) });
  const narrow = { ...TWO_HEADS, heads: 3 };
  await expect(client.layers.put('three', narrow)).rejects.toMatchObject({ status: 422 });
  expect((await send(`${service.url}/v1/layers/three`)).status).toBe(404);
});
