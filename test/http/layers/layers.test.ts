import { createHash } from 'node:crypto';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unpack } from '../../support/safetensors.ts';
import { listen, MHA, post, send, type TestService } from '../support.ts';
import { put, SAFETENSORS, TOKENS, TWO_HEADS } from './support.ts';

let service: TestService;
let layers: string;
beforeAll(async () => {
  service = await listen({ threads: 2 });
  layers = `${service.url}/v1/layers`;
});
afterAll(() => service.close());

/** The file that stands for a layer. */
async function fileOf(name: string): Promise<Uint8Array> {
  const { statusCode, body } = await request(`${layers}/${name}/projections`);
  expect(statusCode).toBe(200);
  return new Uint8Array(await body.arrayBuffer());
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('registering', () => {
  it('answers 201, then 200, with an etag that is the hash of the file', async () => {
    const first = await put(`${layers}/new`, TWO_HEADS);
    expect(first.status).toBe(201);
    expect(first.headers.location).toBe('/v1/layers/new');
    const file = await fileOf('new');
    expect(first.headers.etag).toBe(`"${sha256(file)}"`);
    expect(first.json).toMatchObject({
      name: 'new',
      etag: sha256(file),
      bytes: file.length,
      options: { heads: 2, kv_heads: 2, layout: 'in_out' },
      tensors: { w_q: { dtype: 'float32', shape: [4, 4] } },
    });
    const again = await put(`${layers}/new`, TWO_HEADS);
    expect([again.status, again.headers.etag]).toEqual([200, first.headers.etag]);
    expect(again.headers['last-modified']).toBe(first.headers['last-modified']);
    const changed = await put(`${layers}/new`, { ...TWO_HEADS, scale: 1 });
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(first.headers.etag);
  });

  it('gives one layer one etag, whatever way it came', async () => {
    const json = await put(`${layers}/by-json`, { ...TWO_HEADS, causal: 'lower_right' });
    const { w_q, w_k, w_v, w_o } = TWO_HEADS.projections;
    const reordered = {
      causal: 'lower_right',
      kv_heads: 2,
      projections: { w_o, w_v, w_k, w_q: { shape: [4, 4], data: w_q.flat() } },
      heads: 2,
    };
    expect((await put(`${layers}/reordered`, reordered)).headers.etag).toBe(json.headers.etag);
    const file = await fileOf('by-json');
    expect((await put(`${layers}/by-file`, file)).headers.etag).toBe(json.headers.etag);
    const { parts } = unpack(file);
    expect(Object.keys(parts)).toEqual(['w_k', 'w_o', 'w_q', 'w_v']);
  });

  it('keeps tensors of options, and halves as halves', async () => {
    const half = { dtype: 'float16', shape: [4, 4], data: TWO_HEADS.projections.w_q.flat() };
    const brain = { dtype: 'bfloat16', shape: [4, 4], data: TWO_HEADS.projections.w_k.flat() };
    const body = {
      ...TWO_HEADS,
      projections: { ...TWO_HEADS.projections, w_q: half, w_k: brain },
      sinks: [0.5, -0.5],
      k_extra: [1, 2, 3, 4],
      v_extra: [0, 0, 1, 1],
      rope: { pairing: 'half', cos: [[1], [0], [-1]], sin: [[0], [1], [0]] },
    };
    const { status, json } = await put(`${layers}/wide`, body);
    expect(status).toBe(201);
    expect(json.tensors).toMatchObject({
      w_q: { dtype: 'float16' },
      w_k: { dtype: 'bfloat16' },
      sinks: { dtype: 'float32', shape: [2] },
      'rope.cos': { dtype: 'float32', shape: [3, 1] },
    });
    expect(json.options).toMatchObject({ rope: { pairing: 'half' } });
    const { projections: _p, ...options } = body;
    const whole = await post(`${service.url}${MHA}`, {
      ...options,
      embeddings: TOKENS,
      projections: TWO_HEADS.projections,
    });
    const layered = await post(`${layers}/wide/attention`, { embeddings: TOKENS });
    expect(layered.status).toBe(200);
    expect(layered.json.output).toEqual(whole.json.output);
    expect((await put(`${layers}/wide-again`, await fileOf('wide'))).headers.etag).toBe(`"${json.etag}"`);
  });

  it('keeps float64 for a layer of that precision', async () => {
    const w_q = {
      dtype: 'float64',
      shape: [4, 4],
      data: TWO_HEADS.projections.w_q.flat().map((x) => x + 1e-12),
    };
    const body = { ...TWO_HEADS, precision: 'float64', projections: { ...TWO_HEADS.projections, w_q } };
    const { json } = await put(`${layers}/exact`, body);
    expect(json.tensors.w_q.dtype).toBe('float64');
    const call = { embeddings: TOKENS, response: { encoding: 'flat' } };
    const whole = await post(`${service.url}${MHA}`, { ...body, ...call });
    expect((await post(`${layers}/exact/attention`, call)).json.output).toEqual(whole.json.output);
    const narrow = await post(`${layers}/exact/attention`, { ...call, precision: 'float32' });
    expect(narrow.json.output.dtype).toBe('float32');
  });

  it.each([
    ['A', 400],
    ['-a', 400],
    ['a%2Fb', 400],
    ['..%2f..%2fetc', 400],
    ['a'.repeat(65), 400],
    ['a'.repeat(64), 201],
    ['0.a_b-c', 201],
  ])('takes or refuses the name %s', async (name, status) => {
    const reply = await put(`${layers}/${name}`, TWO_HEADS);
    expect(reply.status).toBe(status);
    if (status === 400)
      expect(reply.json).toMatchObject({ code: 'invalid_request', errors: [{ pointer: '/layer' }] });
    else await send(`${layers}/${name}`, { method: 'DELETE' });
  });

  it.each([
    [
      'a layer that no call could be read with',
      { ...TWO_HEADS, heads: 3 },
      'shape_mismatch',
      '/projections/w_q',
    ],
    ['sinks of another number of heads', { ...TWO_HEADS, sinks: [1] }, 'shape_mismatch', '/sinks'],
    ['what belongs to a call', { ...TWO_HEADS, bias: [[0]] }, 'invalid_request', '/bias'],
    ['a number that is none', { ...TWO_HEADS, sinks: [1, 1e39] }, 'invalid_tensor', '/sinks/1'],
    ['nothing to project with', { heads: 2, projections: {} }, 'invalid_request', '/projections/w_q'],
  ])('refuses %s', async (_what, body, code, pointer) => {
    const { json } = await put(`${layers}/refused`, body);
    expect([json.code, json.errors[0].pointer]).toEqual([code, pointer]);
    expect((await send(`${layers}/refused`)).status).toBe(404);
  });

  it('refuses options in the address of a JSON body', async () => {
    const { status, json } = await put(`${layers}/refused?heads=2`, TWO_HEADS);
    expect([status, json.errors[0].pointer]).toEqual([422, '/heads']);
  });
});

describe('conditions', () => {
  it('hold for PUT: a new name only, a known content only', async () => {
    const url = `${layers}/conditional`;
    expect((await put(url, TWO_HEADS, { 'if-match': '*' })).json.code).toBe('precondition_failed');
    const made = await put(url, TWO_HEADS, { 'if-none-match': '*' });
    expect(made.status).toBe(201);
    expect((await put(url, TWO_HEADS, { 'if-none-match': '*' })).status).toBe(412);
    const etag = String(made.headers.etag);
    const next = { ...TWO_HEADS, scale: 0.25 };
    expect((await put(url, next, { 'if-match': '"other"' })).status).toBe(412);
    expect((await put(url, next, { 'if-match': `W/${etag}` })).status).toBe(412);
    expect((await put(url, next, { 'if-match': `"other", ${etag}` })).status).toBe(200);
    expect((await put(url, next, { 'if-match': etag })).status).toBe(412);
    const wrong = await put(url, next, { 'if-match': 'other' });
    expect([wrong.status, wrong.json.code]).toEqual([400, 'invalid_header']);
  });

  it('hold for GET, where they save the body', async () => {
    const { headers } = await put(`${layers}/known`, TWO_HEADS);
    const etag = String(headers.etag);
    for (const url of [`${layers}/known`, `${layers}/known/projections`]) {
      const known = await send(url, { headers: { 'if-none-match': `"x", W/${etag}` } });
      expect([known.status, known.text, known.headers.etag]).toEqual([304, '', etag]);
      expect((await send(url, { headers: { 'if-none-match': '*' } })).status).toBe(304);
      expect((await send(url, { headers: { 'if-none-match': '"x"' } })).status).toBe(200);
      const listed = await send(url, { headers: { 'if-none-match': `, "x",, ${etag} ,` } });
      expect(listed.status).toBe(304);
      expect((await send(url, { headers: { 'if-none-match': ' , ' } })).status).toBe(400);
      expect((await send(url, { headers: { 'if-match': String(etag) } })).status).toBe(200);
      const both = await send(url, { headers: { 'if-match': '"x"', 'if-none-match': String(etag) } });
      expect([both.status, both.json.code]).toEqual([412, 'precondition_failed']);
    }
  });

  it('hold for DELETE', async () => {
    const url = `${layers}/doomed`;
    const { headers } = await put(url, TWO_HEADS);
    const remove = (condition: Record<string, string>) => send(url, { method: 'DELETE', headers: condition });
    expect((await remove({ 'if-match': '"other"' })).status).toBe(412);
    expect((await remove({ 'if-match': String(headers.etag) })).status).toBe(204);
    const gone = await send(url);
    expect([gone.status, gone.json.code]).toEqual([404, 'not_found']);
    expect((await remove({})).status).toBe(404);
    expect((await put(url, TWO_HEADS)).status).toBe(201);
    await remove({});
  });

  it('let one of a hundred racers through', async () => {
    const url = `${layers}/raced`;
    const race = Array.from({ length: 100 }, (_, index) =>
      put(url, { ...TWO_HEADS, scale: index + 1 }, { 'if-none-match': '*' }),
    );
    const replies = await Promise.all(race);
    const winners = replies.filter(({ status }) => status === 201);
    expect(winners).toHaveLength(1);
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201, 412]));
    expect((await send(url)).headers.etag).toBe(winners[0].headers.etag);
  });
});

describe('reading', () => {
  it('lists all by name, with suggestions for a name that is not there', async () => {
    await put(`${layers}/list-b`, TWO_HEADS);
    await put(`${layers}/list-a`, TWO_HEADS);
    const { json } = await send(layers);
    const names = json.layers.map(({ name }: { name: string }) => name);
    expect(names).toEqual([...names].sort());
    expect(names).toEqual(expect.arrayContaining(['list-a', 'list-b']));
    const near = await send(`${layers}/list-c`);
    expect(near.json.detail).toContain('"list-a"');
  });

  it('sends the file in safetensors, and in nothing else', async () => {
    await put(`${layers}/read`, TWO_HEADS);
    const url = `${layers}/read/projections`;
    const { headers } = await send(url, { headers: { accept: `${SAFETENSORS}, */*;q=0.1` } });
    expect(headers['content-type']).toBe(SAFETENSORS);
    expect((await send(url, { headers: { accept: 'application/json' } })).status).toBe(406);
  });
});

describe('calling', () => {
  it('gives what the whole call gives, to the bit, and says which layer it was', async () => {
    const { json: layer } = await put(`${layers}/called`, { ...TWO_HEADS, causal: 'lower_right' });
    const asked = { embeddings: TOKENS, return: { weights: true, kv: true } };
    const whole = await post(`${service.url}${MHA}`, { ...TWO_HEADS, ...asked, causal: 'lower_right' });
    const { json } = await post(`${layers}/called/attention`, asked);
    const { layer: named, ...applied } = json.applied;
    expect(named).toEqual({ name: 'called', etag: layer.etag });
    expect({ ...json, applied }).toEqual(whole.json);
    expect((await send(`${service.url}/v1/info`)).json.limits.layer_bytes).toBeGreaterThan(0);
  });

  it('takes options of the call in place of those of the layer', async () => {
    const rope = { pairing: 'half', theta: 100 };
    await put(`${layers}/options`, { ...TWO_HEADS, causal: 'lower_right', scale: 1, rope });
    const call = { embeddings: TOKENS, causal: 'none', scale: 0.5, rope: { offset: 3 } };
    const whole = await post(`${service.url}${MHA}`, { ...TWO_HEADS, ...call, rope: { ...rope, offset: 3 } });
    const { json } = await post(`${layers}/options/attention`, call);
    expect(json.output).toEqual(whole.json.output);
    expect(json.applied).toMatchObject({ causal_offset: null, scale: 0.5 });
  });

  it('takes theta, or tables of cos and sin, of the call in place of either of the layer', async () => {
    const tables = { cos: Array(3).fill([0.6]), sin: Array(3).fill([0.8]) };
    const angles = { theta: { theta: 100 }, tables };
    for (const [name, kept] of Object.entries(angles)) {
      await put(`${layers}/${name}`, { ...TWO_HEADS, rope: { pairing: 'half', ...kept } });
      for (const given of Object.values(angles)) {
        const embeddings = TOKENS;
        const { status, json } = await post(`${layers}/${name}/attention`, { embeddings, rope: given });
        expect([status, json.errors]).toEqual([200, undefined]);
        const rope = { pairing: 'half', ...given };
        const whole = await post(`${service.url}${MHA}`, { ...TWO_HEADS, embeddings, rope });
        expect(json.output).toEqual(whole.json.output);
      }
      const half = await post(`${layers}/${name}/attention`, {
        embeddings: TOKENS,
        rope: { cos: tables.cos },
      });
      expect(half.json.errors[0].pointer).toBe('/rope/sin');
      const both = await post(`${layers}/${name}/attention`, {
        embeddings: TOKENS,
        rope: { ...tables, theta: 1 },
      });
      expect(both.json.errors[0].pointer).toBe('/rope/theta');
    }
  });

  it.each([
    ['heads', 2],
    ['kv_heads', 1],
    ['layout', 'out_in'],
    ['zero_attention', true],
    ['projections', {}],
  ])('refuses %s, which the layer has', async (option, value) => {
    await put(`${layers}/fixed`, TWO_HEADS);
    const { status, json } = await post(`${layers}/fixed/attention`, { embeddings: TOKENS, [option]: value });
    expect(status).toBe(422);
    expect(json).toMatchObject({ code: 'invalid_option', errors: [{ pointer: `/${option}` }] });
  });

  it('points at the tokens where they are too wide, or missing', async () => {
    await put(`${layers}/widths`, TWO_HEADS);
    const wide = await post(`${layers}/widths/attention`, { embeddings: [[1, 2, 3]] });
    expect(wide.json).toMatchObject({ code: 'shape_mismatch', errors: [{ pointer: '/embeddings' }] });
    expect(wide.json.detail).toContain('4 numbers a token');
    const w_k = [[1, 0, 0, 0]];
    await put(`${layers}/cross`, { ...TWO_HEADS, projections: { ...TWO_HEADS.projections, w_k, w_v: w_k } });
    const missing = await post(`${layers}/cross/attention`, { embeddings: TOKENS });
    expect(missing.json.errors[0].pointer).toBe('/context');
    const crossed = await post(`${layers}/cross/attention`, { embeddings: TOKENS, context: [[1], [2]] });
    expect(crossed.status).toBe(200);
  });

  it('answers 404 for a layer that is not there', async () => {
    const { status, json } = await post(`${layers}/nowhere/attention`, { embeddings: TOKENS });
    expect([status, json.code]).toEqual([404, 'not_found']);
  });
});
