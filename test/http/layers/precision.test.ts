import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Random, seeded } from '../../support/random.ts';
import { pack, unpack } from '../../support/safetensors.ts';
import { listen, MHA, post, send, type TestService } from '../support.ts';
import { put, SAFETENSORS } from './support.ts';

/*
 * A layer says the precision of its calls where they say none, and may be called in another one: either way a call is
 * what the same call is that brings its projections along.
 */

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 1 });
});
afterAll(() => service.close());

const matrix = (random: Random, rows: number, columns: number) =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal() / 4));

/** Heads of 16 fill a vector, and with it a group of numbers in bfloat16; others do not. */
const WIDTHS = [
  { width: 16, heads: 1 },
  { width: 64, heads: 4 },
  { width: 64, heads: 2 },
  { width: 20, heads: 2 },
];
const PRECISIONS = ['float32', 'float64', 'bfloat16'] as const;
const PAIRS = PRECISIONS.flatMap((registered) =>
  [undefined, ...PRECISIONS].flatMap((called) => WIDTHS.map((sizes) => ({ registered, called, ...sizes }))),
);

describe('a layer and a call of it', () => {
  it.each(PAIRS)(
    'in $registered and $called, width $width, $heads heads: bits of one call',
    async (sizes) => {
      const { registered, called, width, heads } = sizes;
      const random = seeded(width * heads);
      const weights = ['w_q', 'w_k', 'w_v', 'w_o'].map((name) => [name, matrix(random, width, width)]);
      const layer = { heads, projections: Object.fromEntries(weights) };
      const embeddings = matrix(random, 5, width);
      const made = await put(`${service.url}/v1/layers/one`, { ...layer, precision: registered });
      expect([200, 201], made.text).toContain(made.status);
      const precision = called ?? registered;
      const whole = await post(service.url + MHA, { ...layer, embeddings, precision });
      expect(whole.status, whole.text).toBe(200);
      // What is kept of a layer, or of a call, is there from the second or third time on.
      for (let time = 0; time < 3; time++) {
        const body = { embeddings, ...(called && { precision: called }) };
        const reply = await post(`${service.url}/v1/layers/one/attention`, body);
        expect(reply.status, reply.text).toBe(200);
        expect(reply.json.applied.precision).toBe(precision);
        // A layer in float32 holds its weights so, and a call in float64 computes with those.
        if (registered === 'float64' || precision !== 'float64')
          expect(reply.json.output).toEqual(whole.json.output);
      }
    },
  );
});

describe('a layer in float64', () => {
  const identity = [
    [1, 0],
    [0, 1],
  ];
  const TOKEN = [0.1, 1e39];
  const bytes = new Uint8Array(Float64Array.from(TOKEN).buffer);
  beforeAll(async () => {
    const projections = { w_q: [[0], [0]], w_k: [[0], [0]], w_v: identity };
    const reply = await put(`${service.url}/v1/layers/wide`, { precision: 'float64', projections });
    expect(reply.status, reply.text).toBe(201);
  });
  const url = () => `${service.url}/v1/layers/wide/attention`;

  const asFloat64 = (data: unknown) => ({ dtype: 'float64', shape: [1, 2], data });
  const jsonBodies = {
    numbers: asFloat64(TOKEN),
    base64: asFloat64(Buffer.from(bytes).toString('base64')),
  };
  it.each(Object.entries(jsonBodies))('takes tokens as they are: JSON, %s', async (_, embeddings) => {
    for (let time = 0; time < 3; time++) {
      const { json, text } = await post(url(), { embeddings });
      expect(json.output, text).toEqual([TOKEN]);
    }
  });

  it('takes tokens as they are: safetensors', async () => {
    for (let time = 0; time < 3; time++) {
      const { statusCode, body } = await request(url(), {
        method: 'POST',
        headers: { 'content-type': SAFETENSORS, accept: SAFETENSORS },
        body: pack({ embeddings: { dtype: 'F64', shape: [1, 2], bytes } }),
      });
      expect(statusCode).toBe(200);
      const { output } = unpack(await body.bytes()).parts;
      expect(output.dtype).toBe('F64');
      expect(Buffer.from(output.bytes)).toEqual(Buffer.from(bytes));
    }
  });

  it('takes tokens as they are: KServe', async () => {
    for (let time = 0; time < 3; time++) {
      const inputs = [{ name: 'embeddings', shape: [1, 2], datatype: 'FP64', data: TOKEN }];
      const { json, text } = await post(`${service.url}/v2/models/wide/infer`, { inputs });
      expect(json.outputs, text).toMatchObject([{ name: 'output', datatype: 'FP64', data: TOKEN }]);
    }
  });

  it('takes tokens as they are: sessions', async () => {
    const { json } = await post(`${service.url}/v1/sessions`, { layer: 'wide' });
    const appended = await post(`${service.url}/v1/sessions/${json.session_id}/append`, {
      embeddings: asFloat64(TOKEN),
    });
    expect(appended.json.output, appended.text).toEqual([TOKEN]);
  });

  it('says so where models are described', async () => {
    const { json } = await send(`${service.url}/v2/models/wide`);
    expect(json.inputs[0]).toEqual({ name: 'embeddings', datatype: 'FP64', shape: [-1, -1, -1] });
    expect(json.outputs[0]).toMatchObject({ name: 'output', datatype: 'FP64' });
  });

  it('rounds them where the call says float32', async () => {
    const { json } = await post(url(), { embeddings: [[0.1, 0.7]], precision: 'float32' });
    expect(json.applied.precision).toBe('float32');
    expect(json.output).toEqual([[0.1, 0.7]]);
  });
});
