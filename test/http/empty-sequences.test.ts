import { afterAll, beforeAll, expect, it } from 'vitest';
import { put, TWO_HEADS } from './layers/support.ts';
import { listen, MHA, post, SDPA, type TestService } from './support.ts';

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 1 });
  const { status, text } = await put(`${service.url}/v1/layers/two`, TWO_HEADS);
  expect(status, text).toBe(201);
});
afterAll(() => service.close());

const none = (width: number) => ({ shape: [0, width], data: [] });
const heads = { query: [[1, 2]], key: [[1, 0]], value: [[4]] };
const layer = { ...TWO_HEADS, embeddings: [[1, 0, 1, 0]] };

/** Path, body, output. */
const calls: Readonly<Record<string, readonly [string, object, unknown]>> = {
  'no queries': [SDPA, { ...heads, query: none(2) }, []],
  'no keys': [SDPA, { ...heads, key: none(2), value: none(1) }, [[0]]],
  'neither, and all that can be returned': [
    SDPA,
    { query: none(2), key: none(2), value: none(1), return: { weights: true, log_sum_exp: true, kv: true } },
    [],
  ],
  'no tokens': [MHA, { ...layer, embeddings: none(4) }, []],
  'no tokens, but a context': [MHA, { ...layer, embeddings: none(4), context: layer.embeddings }, []],
  'no context': [MHA, { ...layer, context: none(4) }, [[0, 0, 0, 0]]],
  'no context, but a key of zeros': [
    MHA,
    { ...layer, context: none(4), zero_attention: true },
    [[0, 0, 0, 0]],
  ],
  'no tokens for a layer': ['/v1/layers/two/attention', { embeddings: none(4) }, []],
};

it.each(['float32', 'float64', 'bfloat16'])(
  'sequences without tokens have an answer in %s',
  async (precision) => {
    for (const [name, [path, body, output]] of Object.entries(calls)) {
      const { status, json, text } = await post(service.url + path, { ...body, precision });
      expect(status, `${name}: ${text}`).toBe(200);
      expect(json.output, name).toEqual(output);
    }
  },
);

it('so they have in an inference request', async () => {
  const inputs = [{ name: 'embeddings', shape: [0, 4], datatype: 'FP32', data: [] }];
  const { json, text } = await post(`${service.url}/v2/models/two/infer`, { inputs });
  expect(json.outputs, text).toMatchObject([{ name: 'output', shape: [0, 4], data: [] }]);
});

it('so their gradients have', async () => {
  const body = { ...heads, query: none(2), grad_output: none(1) };
  const { json, text } = await post(`${service.url}${SDPA}/gradients`, body);
  expect(json, text).toMatchObject({ grad_query: [], grad_key: [[0, 0]], grad_value: [[0]] });
});
