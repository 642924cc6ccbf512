import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, f32, pack, unpack } from '../support/safetensors.ts';
import { engineReaches, listen, MHA, post, SDPA, SMALL, send, type TestService } from './support.ts';

const SAFETENSORS = 'application/vnd.safetensors';
const NPY = 'application/x-npy';

/** SMALL as a file. */
const FILE = pack(
  { query: f32([1, 2], [1, 2]), key: f32([2, 2], [1, 0, 0, 2]), value: f32([2, 1], [4, 10]) },
  { request: '{"scale":1}' },
);

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 2 });
});
afterAll(async () => {
  await service.close();
  expect(service.engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, workersLost: 0 });
});

async function sendBytes(path: string, body: Uint8Array | string, headers: Record<string, string>) {
  const response = await request(service.url + path, { method: 'POST', headers, body });
  const bytes = new Uint8Array(await response.body.arrayBuffer());
  return { status: response.statusCode, type: response.headers['content-type'], bytes };
}

const OUTPUT = bytesOf(Float32Array.of(4 / (1 + Math.exp(3)) + 10 / (1 + Math.exp(-3))));

describe('formats', () => {
  it.each(['*/*', 'application/json', `${SAFETENSORS};q=0.5, application/json`])(
    'answer a safetensors body in JSON for Accept: %s',
    async (accept) => {
      const { status, type, bytes } = await sendBytes(SDPA, FILE, { 'content-type': SAFETENSORS, accept });
      expect([status, type]).toEqual([200, 'application/json']);
      const { json } = await post(service.url + SDPA, SMALL);
      expect(JSON.parse(Buffer.from(bytes).toString())).toEqual(json);
    },
  );

  it('answer JSON in safetensors', async () => {
    const headers = { 'content-type': 'application/json', accept: SAFETENSORS };
    const body = JSON.stringify({
      ...SMALL,
      return: { weights: { top_k: 1 } },
      response: { encoding: 'flat' },
    });
    const { status, type, bytes } = await sendBytes(SDPA, body, headers);
    expect([status, type]).toEqual([200, SAFETENSORS]);
    const { parts, metadata } = unpack(bytes);
    expect(Object.keys(parts).sort()).toEqual(['output', 'weights.indices', 'weights.values']);
    expect(parts.output).toEqual({ dtype: 'F32', shape: [1, 1], bytes: OUTPUT });
    expect(parts['weights.indices'].bytes).toEqual(bytesOf(Int32Array.of(1)));
    expect(JSON.parse(metadata.response)).toMatchObject({ empty_rows: 0, applied: { scale: 1 } });
  });

  it('answer with the output alone as npy', async () => {
    const headers = { 'content-type': SAFETENSORS, accept: `${NPY}, application/json;q=0.5` };
    const { status, type, bytes } = await sendBytes(SDPA, FILE, headers);
    expect([status, type]).toEqual([200, NPY]);
    expect(Buffer.from(bytes).toString('latin1', 0, 80)).toContain(
      "'descr': '<f4', 'fortran_order': False, 'shape': (1, 1,)",
    );
    expect(bytes.subarray(-4)).toEqual(OUTPUT);
  });

  it('take files that are too large for the event loop, and give such back', async () => {
    const [rows, width] = [1500, 700];
    const x = Float32Array.from({ length: rows * width }, (_, index) => ((index * 7) % 13) / 13);
    const identity = Float32Array.from({ length: width * width }, (_, index) =>
      index % (width + 1) === 0 ? 1 : 0,
    );
    const file = pack(
      {
        embeddings: { dtype: 'F32', shape: [rows, width], bytes: bytesOf(x) },
        ...Object.fromEntries(
          ['w_q', 'w_k', 'w_v'].map((name) => [
            `projections.${name}`,
            { dtype: 'F32', shape: [width, width], bytes: bytesOf(identity) },
          ]),
        ),
        key_lengths: { dtype: 'I64', shape: [1], bytes: bytesOf(BigInt64Array.of(BigInt(rows))) },
      },
      // Each token sees itself alone, so that the layer gives back what it is given.
      { request: '{"window":{"left":0,"right":0}}' },
    );
    const { status, bytes } = await sendBytes(MHA, file, {
      'content-type': SAFETENSORS,
      accept: SAFETENSORS,
    });
    expect(status).toBe(200);
    const { output } = unpack(bytes).parts;
    expect([output.dtype, output.shape]).toEqual(['F32', [rows, width]]);
    expect(Buffer.compare(output.bytes, bytesOf(x))).toBe(0);
  });
});

it('give each of many callers their own numbers, whoever leaves meanwhile', async () => {
  const [rows, width] = [1000, 600];
  const ones = f32([rows, 1], new Array(rows).fill(1));
  const replies = Array.from({ length: 12 }, async (_, caller) => {
    const numbers = bytesOf(
      Float32Array.from({ length: rows * width }, (_, index) => caller + (index % 1000)),
    );
    const client = new AbortController();
    const reply = request(service.url + SDPA, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS, accept: NPY },
      body: pack(
        { query: ones, key: ones, value: { dtype: 'F32', shape: [rows, width], bytes: numbers } },
        { request: '{"window":{"left":0,"right":0}}' },
      ),
      signal: client.signal,
    });
    if (caller % 3 === 0) {
      client.abort();
      return expect(reply).rejects.toThrow();
    }
    const bytes = new Uint8Array(await (await reply).body.arrayBuffer());
    expect(Buffer.compare(bytes.subarray(-numbers.length), numbers)).toBe(0);
  });
  await Promise.all(replies);
  await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
});

describe('what a format cannot do', () => {
  it('is a problem in JSON, whatever the Accept header chooses', async () => {
    const broken = FILE.slice(0, -1);
    const { status, type, bytes } = await sendBytes(SDPA, broken, {
      'content-type': SAFETENSORS,
      accept: NPY,
    });
    expect([status, type]).toEqual([400, 'application/problem+json']);
    expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({
      code: 'malformed_body',
      errors: [{ pointer: '/value/data_offsets', detail: expect.stringContaining('got [24, 32]') }],
    });
  });

  it('is a 415 for npy as a body, which names what is read', async () => {
    const reply = await send(service.url + SDPA, {
      method: 'POST',
      headers: { 'content-type': NPY },
      body: 'x',
    });
    expect(reply.status).toBe(415);
    expect(reply.json.detail).toBe(
      `Expected a body of application/json, ${SAFETENSORS}; got Content-Type ${NPY}.`,
    );
  });

  it('is a 406 that names what is written', async () => {
    const reply = await post(service.url + SDPA, SMALL, { accept: 'text/html' });
    expect(reply.status).toBe(406);
    expect(reply.json.detail).toContain(`one of application/json, ${SAFETENSORS}, ${NPY}; got text/html`);
  });

  it('is told with the suggestions that JSON bodies get', async () => {
    const headers = { 'content-type': SAFETENSORS };
    const misnamed = await sendBytes(SDPA, pack({ qeury: f32([1], [1]) }), headers);
    expect(JSON.parse(Buffer.from(misnamed.bytes).toString()).detail).toBe(
      '/qeury: Unknown tensor "qeury"; did you mean "query"?',
    );
    const unknown = await sendBytes(SDPA, pack({}, { request: '{"scal":1}' }), headers);
    expect(JSON.parse(Buffer.from(unknown.bytes).toString()).errors).toContainEqual({
      pointer: '/scal',
      detail: 'Unknown field "scal"; did you mean "scale"?',
    });
  });
});
