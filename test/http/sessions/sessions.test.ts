import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seeded } from '../../support/random.ts';
import { bytesOf, f32, pack, unpack } from '../../support/safetensors.ts';
import { put, SAFETENSORS, TOKENS, TWO_HEADS } from '../layers/support.ts';
import { listen, post, type Reply, send, type TestService } from '../support.ts';
import { matrix } from './layers.ts';

let service: TestService;
let layers: string;
let sessions: string;
/** The address of a new session. */
let session: string;
beforeAll(async () => {
  service = await listen({ threads: 2 });
  layers = `${service.url}/v1/layers`;
  sessions = `${service.url}/v1/sessions`;
  await put(`${layers}/two-heads`, TWO_HEADS);
});
beforeEach(async () => {
  session = await begin({ layer: 'two-heads' });
});
afterAll(() => service.close());

async function begin(body: object): Promise<string> {
  const { status, json } = await post(sessions, body);
  expect(status, JSON.stringify(json)).toBe(201);
  return `${sessions}/${json.session_id}`;
}

const append = (body: object, at = session): Promise<Reply> => post(`${at}/append`, body);
const positionOf = async () => (await send(session)).json.position;
const faultOf = ({ status, json }: Reply) => [status, json.code, json.errors[0]?.pointer];

describe('beginning', () => {
  it('answers 201 with an id that cannot be guessed, and what the session is like', async () => {
    const etag = (await send(`${layers}/two-heads`)).json.etag;
    const reply = await post(sessions, { layer: 'two-heads', max_length: 5 });
    expect(reply.status).toBe(201);
    expect(reply.json).toEqual({
      session_id: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      position: 0,
      layer: 'two-heads',
      etag,
      precision: 'float32',
      max_length: 5,
      bytes: 0,
      expires_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(reply.headers.location).toBe(`/v1/sessions/${reply.json.session_id}`);
    expect((await send(service.url + reply.headers.location)).json).toEqual(reply.json);
    const ids = await Promise.all([1, 2, 3].map(() => begin({ layer: 'two-heads' })));
    expect(new Set(ids).size).toBe(3);
  });

  it('refuses what no session can be, and says why', async () => {
    const narrow = TWO_HEADS.projections.w_k.slice(0, 3);
    await put(`${layers}/cross`, {
      ...TWO_HEADS,
      projections: { ...TWO_HEADS.projections, w_k: narrow, w_v: narrow },
    });
    await put(`${layers}/ahead`, { ...TWO_HEADS, causal: { offset: 1 } });
    const table = [
      [1, 1],
      [0, 0],
    ].map((row) => row.slice(0, 1));
    await put(`${layers}/table`, { ...TWO_HEADS, rope: { pairing: 'half', cos: table, sin: table } });
    const refused = async (body: object) => faultOf(await post(sessions, body));
    expect(await refused({ layer: 'cross' })).toEqual([422, 'invalid_option', '/layer']);
    expect(await refused({ layer: 'ahead' })).toEqual([422, 'invalid_option', '/layer']);
    expect(await refused({ layer: 'table', max_length: 3 })).toEqual([422, 'over_budget', '/max_length']);
    expect(await refused({ layer: 'two-heads', max_length: 1e9 })).toEqual([
      422,
      'over_budget',
      '/max_length',
    ]);
    expect(await refused({ layer: 'two-heads', max_length: 0 })).toEqual([
      400,
      'invalid_request',
      '/max_length',
    ]);
    expect(await refused({ layer: 'nothing' })).toEqual([404, 'not_found', undefined]);
    expect(await refused({ layer: '../../etc/passwd' })).toEqual([404, 'not_found', undefined]);
    expect(await refused({})).toEqual([400, 'invalid_request', '/layer']);
    expect(await refused({ layer: 'two-heads', length: 3 })).toEqual([400, 'invalid_request', '/length']);
    expect((await post(sessions, '{"layer": ')).json.code).toBe('malformed_body');
    const bounded = await begin({ layer: 'table' });
    expect((await send(bounded)).json.max_length).toBe(2);
  });
});

describe('the instance', () => {
  it('says how many sessions there are, and what they hold', async () => {
    const { json } = await send(`${service.url}/v1/info`);
    expect(json.sessions.open).toBeGreaterThan(0);
    expect(json.sessions.bytes).toBeGreaterThanOrEqual(4096 * json.sessions.open);
    expect(json.limits.session_bytes).toBeGreaterThan(json.sessions.bytes);
  });
});

describe('appending', () => {
  it('gives the outputs of the new tokens, causal, and where the session stands', async () => {
    const whole = await post(`${layers}/two-heads/attention`, { embeddings: TOKENS, causal: true });
    const first = await append({ embeddings: TOKENS.slice(0, 2) });
    expect(first.status).toBe(200);
    expect(first.json).toMatchObject({ position: 2, first_key_position: 0, empty_rows: 0 });
    expect(first.json.output).toEqual(whole.json.output.slice(0, 2));
    const second = await append({
      embeddings: TOKENS.slice(2),
      expected_position: 2,
      return: { weights: { top_k: 1 }, logits: 'masked', log_sum_exp: true },
    });
    expect(second.json.output).toEqual(whole.json.output.slice(2));
    expect(second.json.applied).toMatchObject({
      past_length: 2,
      key_length: 3,
      causal_offset: 2,
      layer: { name: 'two-heads' },
    });
    expect(second.json.logits[0]).toHaveLength(1);
    expect(second.json.logits[0][0]).toHaveLength(3);
    expect(second.json.weights.indices).toHaveLength(2);
    expect(await positionOf()).toBe(3);
  });

  it('says which token the first key of a map is where a window has let go of earlier ones', async () => {
    await put(`${layers}/window`, { ...TWO_HEADS, window: { left: 2 } });
    const at = await begin({ layer: 'window' });
    await append({ embeddings: [...TOKENS, ...TOKENS] }, at);
    const { json } = await append({ embeddings: TOKENS.slice(0, 1), return: { weights: true } }, at);
    expect(json.weights[0][0]).toHaveLength(3);
    expect(json).toMatchObject({ position: 7, first_key_position: 4 });
  });

  it('speaks safetensors both ways', async () => {
    const file = pack(
      { embeddings: f32([3, 4], TOKENS.flat()) },
      { request: JSON.stringify({ expected_position: 0 }) },
    );
    const { statusCode, body } = await request(`${session}/append`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS, accept: SAFETENSORS },
      body: file,
    });
    expect(statusCode).toBe(200);
    const { parts, metadata } = unpack(new Uint8Array(await body.arrayBuffer()));
    expect(JSON.parse(metadata.response)).toMatchObject({ position: 3, first_key_position: 0 });
    const json = await append({ embeddings: TOKENS, expected_position: 0 });
    expect(parts.output.bytes).toEqual(bytesOf(Float32Array.from(json.json.output.flat())));
  });

  it('names the one tensor that it takes where a file has another', async () => {
    const file = pack({ embeddings: f32([3, 4], TOKENS.flat()), allow_mask: f32([3, 3], Array(9).fill(1)) });
    const { statusCode, body } = await request(`${session}/append`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS },
      body: file,
    });
    expect([statusCode, await body.json()]).toMatchObject([
      400,
      { detail: '/allow_mask: Unknown tensor "allow_mask"; the only tensor is embeddings.' },
    ]);
  });

  it('refuses what does not fit, and leaves the session as it was', async () => {
    await append({ embeddings: TOKENS });
    const refused = async (body: object) => faultOf(await append(body));
    expect(await refused({ embeddings: [TOKENS] })).toEqual([422, 'shape_mismatch', '/embeddings']);
    expect(await refused({ embeddings: [] })).toEqual([422, 'shape_mismatch', '/embeddings']);
    const narrow = await append({ embeddings: [[1, 2]] });
    expect(faultOf(narrow)).toEqual([422, 'shape_mismatch', '/embeddings']);
    expect(narrow.json.errors[0].detail).toMatch(/^Expected \[n, D\] with 4 numbers a token, .*got \[1, 2\]/);
    expect(await refused({ embeddings: [[1, 2, 3, 1e39]] })).toEqual([
      422,
      'invalid_tensor',
      '/embeddings/0/3',
    ]);
    expect(await refused({ embeddings: [[1e38, 1e38, 1e38, 1e38]] })).toEqual([422, 'numeric_overflow', '']);
    expect(await refused({ embeddings: TOKENS, causal: 'none' })).toEqual([
      400,
      'invalid_request',
      '/causal',
    ]);
    expect(await refused({ embeddings: TOKENS, expected_position: -1 })).toEqual([
      400,
      'invalid_request',
      '/expected_position',
    ]);
    expect(await refused({ embeddings: TOKENS, return: { kv: true } })).toEqual([
      400,
      'invalid_request',
      '/return/kv',
    ]);
    expect(await positionOf()).toBe(3);
    const fresh = await begin({ layer: 'two-heads' });
    await append({ embeddings: TOKENS }, fresh);
    const next = { embeddings: [[1, 0, 0, 1]] };
    expect((await append(next)).json.output).toEqual((await append(next, fresh)).json.output);
  });

  it('ends where max_length is reached', async () => {
    const at = await begin({ layer: 'two-heads', max_length: 4 });
    expect((await append({ embeddings: TOKENS }, at)).status).toBe(200);
    expect(faultOf(await append({ embeddings: TOKENS }, at))).toEqual([422, 'over_budget', '/embeddings']);
    expect((await append({ embeddings: TOKENS.slice(0, 1) }, at)).json.position).toBe(4);
    expect(faultOf(await append({ embeddings: TOKENS.slice(0, 1) }, at))).toEqual([
      422,
      'over_budget',
      '/embeddings',
    ]);
  });
});

describe('an append that is sent again', () => {
  const [first, second] = [TOKENS.slice(0, 2), TOKENS.slice(2)];

  it('is answered with the same numbers and not applied twice', async () => {
    await append({ embeddings: first, expected_position: 0 });
    const once = await append({ embeddings: second, expected_position: 2 });
    const twice = await append({ embeddings: second, expected_position: 2 });
    const encoded = { dtype: 'float32', shape: [1, 4], data: second.flat() };
    const otherwise = await append({ embeddings: encoded, expected_position: 2, return: { weights: true } });
    expect(twice.json).toEqual(once.json);
    expect(otherwise.json).toMatchObject({ output: once.json.output, position: 3 });
    expect(await positionOf()).toBe(3);
  });

  it('is a conflict with other embeddings, and once another append has come after it', async () => {
    await append({ embeddings: first, expected_position: 0 });
    const other = await append({ embeddings: second, expected_position: 0 });
    expect(faultOf(other)).toEqual([409, 'position_conflict', '/expected_position']);
    expect(other.json.detail).toContain('at position 2; got 0');
    await append({ embeddings: second, expected_position: 2 });
    expect(faultOf(await append({ embeddings: first, expected_position: 0 }))).toEqual([
      409,
      'position_conflict',
      '/expected_position',
    ]);
    expect(faultOf(await append({ embeddings: first, expected_position: 9 }))[0]).toBe(409);
    expect(await positionOf()).toBe(3);
  });

  it('without a position is another append', async () => {
    await append({ embeddings: first });
    await append({ embeddings: first });
    expect(await positionOf()).toBe(4);
  });

  it('finds its past where a window has moved it', async () => {
    await put(`${layers}/window-40`, { ...TWO_HEADS, window: { left: 40 } });
    const at = await begin({ layer: 'window-40' });
    const tokens = matrix(seeded(3), 1, 4);
    for (let position = 0; position < 200; position++) {
      const once = await append({ embeddings: tokens, expected_position: position }, at);
      const twice = await append({ embeddings: tokens, expected_position: position }, at);
      expect(twice.json).toEqual(once.json);
    }
  });
});

describe('at the same time', () => {
  it('of a hundred appends to one position one is applied, and each position is taken once', async () => {
    const random = seeded(9);
    const tokens = Array.from({ length: 100 }, () => matrix(random, 1, 4));
    const replies = await Promise.all(
      tokens.map((embeddings) => append({ embeddings, expected_position: 0 })),
    );
    const statuses = replies.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(99);
    expect(await positionOf()).toBe(1);

    const chasing = await Promise.all(
      tokens.map((embeddings, index) => append({ embeddings, expected_position: 1 + (index % 10) })),
    );
    const positions = chasing.filter(({ status }) => status === 200).map(({ json }) => json.position);
    expect(positions).toEqual([...new Set(positions)]);
    expect(await positionOf()).toBe(1 + positions.length);
    expect(chasing.every(({ status }) => status === 200 || status === 409)).toBe(true);
  });

  it('appends without a position are done one after the other', async () => {
    const random = seeded(10);
    const tokens = Array.from({ length: 40 }, () => matrix(random, 3, 4));
    const replies = await Promise.all(tokens.map((embeddings) => append({ embeddings })));
    expect(replies.map(({ json }) => json.position).sort((a, b) => a - b)).toEqual(
      tokens.map((_, index) => 3 * (index + 1)),
    );
    const order = replies
      .map(({ json }, index) => ({ position: json.position, output: json.output, tokens: tokens[index] }))
      .sort((a, b) => a.position - b.position);
    const again = await begin({ layer: 'two-heads' });
    for (const { output, tokens: embeddings } of order)
      expect((await append({ embeddings }, again)).json.output).toEqual(output);
  });
});

describe('what is not there', () => {
  it('is a 404 where it has never been, and a 410 where it is gone', async () => {
    const unknown = `${sessions}/${'A'.repeat(22)}`;
    for (const address of [unknown, `${sessions}/__proto__`, `${sessions}/%2e%2e%2fetc`]) {
      expect(faultOf(await send(address))).toEqual([404, 'not_found', undefined]);
      expect(faultOf(await append({ embeddings: TOKENS }, address))[0]).toBe(404);
      expect((await send(address, { method: 'DELETE' })).status).toBe(404);
    }
    await append({ embeddings: TOKENS });
    expect((await send(session, { method: 'DELETE' })).status).toBe(204);
    for (const reply of [
      await send(session),
      await send(session, { method: 'DELETE' }),
      await append({ embeddings: TOKENS }),
    ]) {
      expect(faultOf(reply)).toEqual([410, 'session_lost', undefined]);
      expect(reply.json.detail).toContain('it was deleted');
    }
  });

  it('is every session of a layer that is changed or deleted, and none where it is registered as it was', async () => {
    await put(`${layers}/changing`, TWO_HEADS);
    const [asked, appended] = [await begin({ layer: 'changing' }), await begin({ layer: 'changing' })];
    await put(`${layers}/changing`, TWO_HEADS);
    expect((await append({ embeddings: TOKENS }, asked)).status).toBe(200);
    await put(`${layers}/changing`, { ...TWO_HEADS, scale: 1 });
    expect((await send(asked)).json.detail).toContain('layer "changing" has another content now');
    expect((await append({ embeddings: TOKENS }, appended)).json.code).toBe('session_lost');
    await put(`${layers}/changing`, TWO_HEADS);
    expect((await send(asked)).status).toBe(410);
    const last = await begin({ layer: 'changing' });
    await send(`${layers}/changing`, { method: 'DELETE' });
    expect((await append({ embeddings: TOKENS }, last)).json.detail).toContain(
      'layer "changing" was deleted',
    );
  });
});
