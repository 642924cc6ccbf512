import { describe, expect, test } from 'vitest';
import type { Layer } from '../../src/contract/layer.ts';
import type { LayerBody } from '../../src/contract/schemas/layers.ts';
import type { Limits } from '../../src/domain/limits.ts';
import type { Tensor } from '../../src/domain/tensor.ts';
import type { CallRequest, Engine } from '../../src/engine/engine.ts';
import { seeded } from '../support/random.ts';
import { pack } from '../support/safetensors.ts';
import { asNew } from './layer-calls.ts';
import { withEngine } from './support.ts';

const WIDTH = 96;

function layerOf(name: string, options: Partial<LayerBody> = {}): Layer {
  const random = seeded(name.length);
  const matrix = (): Tensor<Float32Array> => {
    const data = new Float32Array(new SharedArrayBuffer(WIDTH * WIDTH * 4));
    return { dtype: 'float32', shape: [WIDTH, WIDTH], data: data.map(() => random.normal() / 8) };
  };
  const projections = { w_q: matrix(), w_k: matrix(), w_v: matrix(), w_o: matrix() };
  for (const tensor of Object.values(projections)) {
    const shared = new Float32Array(new SharedArrayBuffer(tensor.data.byteLength));
    shared.set(tensor.data);
    Object.assign(tensor, { data: shared });
  }
  return { name, etag: name, body: { projections, heads: 4, ...options } as LayerBody, packed: {} };
}

interface Sent {
  readonly layer: Layer;
  readonly shape: readonly number[];
  readonly seed: number;
  readonly options?: object;
  readonly format?: 'json' | 'safetensors';
  /** Replaces the number at the beginning. */
  readonly first?: number;
}

function requestOf({ layer, shape, seed, options = {}, format = 'safetensors', first }: Sent): CallRequest {
  const random = seeded(seed);
  const count = shape.reduce((product, size) => product * size, 1);
  const data = Float32Array.from({ length: count }, () => Math.round(random.normal() * 64) / 64);
  if (first !== undefined) data[0] = first;
  const tokens = { dtype: 'F32', shape, bytes: new Uint8Array(data.buffer) };
  const body =
    format === 'safetensors'
      ? pack({ embeddings: tokens }, { request: JSON.stringify(options) })
      : Buffer.from(JSON.stringify({ embeddings: { shape, data: [...data] }, ...options }));
  const bytes = new Uint8Array(new SharedArrayBuffer(body.length));
  bytes.set(body);
  return { operation: 'layer_attention', format, bytes, answerFormat: format, layer };
}

/** The same tokens as an inference request, with bytes behind its JSON. */
function inferenceOf({ layer, shape, seed }: Sent, id: string): CallRequest {
  const tokens = requestOf({ layer, shape, seed }).bytes.slice(-shape.reduce((a, b) => a * b, 4));
  const parameters = { binary_data_size: tokens.length };
  const json = Buffer.from(
    JSON.stringify({
      id,
      inputs: [{ name: 'embeddings', datatype: 'FP32', shape, parameters }],
      parameters: { binary_data_output: true },
    }),
  );
  const bytes = new Uint8Array(new SharedArrayBuffer(json.length + tokens.length));
  bytes.set(json);
  bytes.set(tokens, json.length);
  const inference = { model: layer.name, headerBytes: json.length };
  return { operation: 'layer_attention', format: 'kserve', bytes, inference, answerFormat: 'kserve', layer };
}

/** The bytes of an answer, or the code of the problem. */
async function outcomeOf(engine: Engine, request: CallRequest): Promise<string> {
  const ticket = engine.admit(request.bytes.length);
  try {
    const { bytes } = await ticket.call(request);
    return Buffer.from(bytes).toString('base64');
  } catch (error) {
    return String((error as { code?: unknown }).code);
  } finally {
    ticket.release();
  }
}

/** What comes of requests that are sent at once to one worker, and of each when it is alone. */
async function bothWays(
  requests: readonly CallRequest[],
  kernel?: string,
  limits: Partial<Limits> = {},
): Promise<{ together: string[]; alone: string[]; batched: number }> {
  const alone: string[] = [];
  await withEngine({ threads: 1, kernel, limits: { ...limits, batchCalls: 1 } }, async (engine) => {
    for (const request of requests) alone.push(await outcomeOf(engine, request));
    expect(engine.stats().callsBatched).toBe(0);
  });
  let together: string[] = [];
  let batched = 0;
  await withEngine({ threads: 1, kernel, limits }, async (engine) => {
    together = await Promise.all(requests.map((request) => outcomeOf(engine, request)));
    batched = engine.stats().callsBatched;
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0 });
  });
  return { together, alone, batched };
}

const LAYER = layerOf('layer');
/** Larger than what is read on the event loop. */
const LONG = [96, WIDTH];

describe('calls of one layer that wait for a worker', () => {
  test.each([
    ['tokens of one sample', LONG, {}],
    ['tokens of several samples', [3, 40, WIDTH], {}],
    ['maps and logits', LONG, { return: { weights: true, logits: 'scaled', log_sum_exp: true } }],
    ['the largest weights of each row', LONG, { return: { weights: { top_k: 3 } } }],
    ['causal in float64', LONG, { causal: 'upper_left', precision: 'float64' }],
    [
      'rope and a window',
      LONG,
      { rope: { pairing: 'half' }, causal: 'upper_left', window: { left: 7, right: 0 } },
    ],
    ['rows that see no key', LONG, { causal: { offset: -2 } }],
  ] as const)('have the bits that they have alone: %s', async (_, shape, options) => {
    for (const format of ['safetensors', 'json'] as const) {
      const requests = Array.from({ length: 9 }, (_unused, seed) =>
        requestOf({ layer: LAYER, shape, seed, options, format }),
      );
      const { together, alone, batched } = await bothWays(requests);
      expect(together).toEqual(alone);
      expect(new Set(together).size, together[0].slice(0, 40)).toBe(requests.length);
      expect(batched, format).toBeGreaterThan(1);
    }
  });

  test.each(['requestFlops', 'requestBytes'] as const)('may use no more than alone: %s', async (limit) => {
    const layer = layerOf(`limited by ${limit}`);
    const requests = [0, 1, 2, 3, 4].map((seed) => requestOf({ layer, shape: LONG, seed }));
    const { together, alone } = await bothWays(requests, undefined, { [limit]: 1000 });
    expect(alone).toEqual(requests.map(() => 'over_budget'));
    expect(together).toEqual(alone);
  });

  test('may differ in everything', async () => {
    const other = layerOf('other layer', { heads: 8 });
    const requests = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((seed) =>
      requestOf({
        layer: seed % 5 === 0 ? other : LAYER,
        shape: seed % 3 === 0 ? [90 + seed, WIDTH] : LONG,
        seed,
        options: seed % 4 === 0 ? { scale: 0.25 } : {},
        format: seed % 7 === 6 ? 'json' : 'safetensors',
      }),
    );
    const { together, alone, batched } = await bothWays(requests);
    expect(together).toEqual(alone);
    expect(batched).toBeGreaterThan(1);
  });

  test('may be inference requests, each with an id', async () => {
    const requests = [0, 1, 2, 3, 4, 5, 6, 7].map((seed) =>
      inferenceOf({ layer: LAYER, shape: LONG, seed }, seed % 4 === 3 ? 'another' : 'one'),
    );
    const { together, alone, batched } = await bothWays(requests);
    expect(together).toEqual(alone);
    expect(new Set(together).size).toBe(requests.length);
    expect(batched).toBeGreaterThan(1);
  });

  test('do not suffer from what is wrong with one of them', async () => {
    const good = (seed: number) => requestOf({ layer: LAYER, shape: LONG, seed });
    const cut = good(20);
    const requests = [
      good(0),
      good(1),
      requestOf({ layer: LAYER, shape: LONG, seed: 2, first: Number.NaN }),
      good(3),
      requestOf({ layer: LAYER, shape: [96, WIDTH + 1], seed: 4 }),
      requestOf({ layer: LAYER, shape: LONG, seed: 5, first: 3e38 }),
      good(6),
      { ...cut, bytes: cut.bytes.subarray(0, 40_000 > cut.bytes.length ? cut.bytes.length - 1 : 40_000) },
      good(7),
    ];
    const { together, alone, batched } = await bothWays(requests);
    expect(together).toEqual(alone);
    expect(together.filter((outcome) => outcome.length < 30)).toEqual([
      'invalid_tensor',
      'shape_mismatch',
      'numeric_overflow',
      'malformed_body',
    ]);
    expect(batched).toBeGreaterThan(1);
  });

  test('are refused one by one where rows without a key are', async () => {
    const options = { causal: { offset: -2 }, empty_rows: 'error' };
    const requests = [0, 1, 2, 3, 4].map((seed) => requestOf({ layer: LAYER, shape: LONG, seed, options }));
    const { together } = await bothWays(requests);
    expect(together).toEqual(requests.map(() => 'empty_row'));
  });

  test('go on without those that are given up', async () => {
    const requests = [0, 1, 2, 3, 4, 5].map((seed) => requestOf({ layer: LAYER, shape: LONG, seed }));
    const { alone } = await bothWays(requests);
    await withEngine({ threads: 1 }, async (engine) => {
      const tickets = requests.map(({ bytes }) => engine.admit(bytes.length));
      const calls = tickets.map((ticket, index) => ticket.call(requests[index]));
      tickets[2].cancel();
      tickets[4].cancel();
      const settled = await Promise.allSettled(calls);
      for (const [index, outcome] of settled.entries()) {
        if (index === 2 || index === 4) expect(outcome.status).toBe('rejected');
        else {
          expect(outcome.status).toBe('fulfilled');
          const { bytes } = (outcome as PromiseFulfilledResult<{ bytes: Uint8Array }>).value;
          expect(Buffer.from(bytes).toString('base64')).toBe(alone[index]);
        }
      }
      for (const ticket of tickets) ticket.release();
    });
  });

  test.each(['portable', 'wasm-simd'])('with the kernel %s', async (kernel) => {
    // Not the calls that are kept for the kernel of another engine.
    const layer = asNew(LAYER);
    const requests = [0, 1, 2, 3, 4].map((seed) => requestOf({ layer, shape: LONG, seed }));
    const { together, alone, batched } = await bothWays(requests, kernel);
    expect(together).toEqual(alone);
    expect(batched).toBeGreaterThan(1);
  });
});
