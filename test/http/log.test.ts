import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import { f32, pack } from '../support/safetensors.ts';
import { put, TWO_HEADS } from './layers/support.ts';
import { recordLog } from './record-log.ts';
import { filled, LONG, listen, MHA, SDPA, SMALL, send, type TestService } from './support.ts';

const CANARY = 'CANARY-7d1f';
const INFER = '/v2/models/scaled-dot-product-attention/infer';
const SAFETENSORS = { 'content-type': 'application/vnd.safetensors' };
const JSON_BODY = { 'content-type': 'application/json' };
const tensors = { query: f32([1, 1], [1]), key: f32([1, 1], [1]), value: f32([1, 1], [1]) };
const input = { name: 'query', shape: [1, 2], datatype: 'FP32', data: [1, 2] };
const asked = (changes: object) => ({ inputs: [input], ...changes });

/** Bodies and headers that hold the canary, each in a place of its own. */
const PLACES: readonly [
  place: string,
  path: string,
  body: object | string,
  headers?: Record<string, string>,
][] = [
  ['a value of the wrong type', SDPA, { ...SMALL, scale: CANARY }],
  ['an unknown name', SDPA, { ...SMALL, [CANARY]: 1 }],
  ['an unknown name below', SDPA, { ...SMALL, return: { [CANARY]: true } }],
  ['a value of none of the known ones', SDPA, { ...SMALL, return: { logits: CANARY } }],
  ['the name of a prototype, and what it holds', SDPA, `{"${CANARY}":{"__proto__":"${CANARY}"}}`],
  ['a dtype', SDPA, { ...SMALL, query: { dtype: CANARY, shape: [1], data: [1] } }],
  ['a member of a tensor', SDPA, { ...SMALL, query: { [CANARY]: 1 } }],
  ['a tensor', SDPA, { ...SMALL, query: [CANARY] }],
  ['a shape', SDPA, { ...SMALL, query: { shape: [CANARY], data: [1] } }],
  ['base64', SDPA, { ...SMALL, query: { shape: [1], data: `${CANARY}=` } }],
  ['an unknown projection', MHA, { embeddings: [[1]], projections: { [CANARY]: [[1]] } }],
  ['what is no JSON', SDPA, `{"${CANARY}":${CANARY}}`],
  ['the query of the address', `${SDPA}?key=${CANARY}`, { ...SMALL, scale: CANARY }],
  ['a Content-Type', SDPA, SMALL, { 'content-type': `text/${CANARY}` }],
  ['an Accept', SDPA, SMALL, { accept: `text/${CANARY}` }],
  ['an Accept-Encoding', SDPA, SMALL, { 'accept-encoding': `${CANARY};q=1, identity;q=0` }],
  ['a Content-Encoding', SDPA, SMALL, { 'content-encoding': CANARY }],
  ['a deadline', SDPA, SMALL, { 'x-deadline-ms': CANARY }],
  ['credentials', SDPA, { ...SMALL, scale: CANARY }, { authorization: `Bearer ${CANARY}`, cookie: CANARY }],
  ['a tensor of a file', SDPA, file({ ...tensors, [CANARY]: f32([1], [1]) }, '{}'), SAFETENSORS],
  ['metadata', SDPA, file(tensors, JSON.stringify({ scale: CANARY, [CANARY]: 1 })), SAFETENSORS],
  ['metadata that is no JSON', SDPA, file(tensors, `{${CANARY}}`), SAFETENSORS],
  ['the name of a parameter', INFER, asked({ parameters: { [CANARY]: 1 } })],
  ['a parameter', INFER, asked({ parameters: { scale: CANARY } })],
  ['an object in a parameter', INFER, asked({ parameters: { rope: `{"${CANARY}":"${CANARY}"}` } })],
  ['a timeout', INFER, asked({ parameters: { timeout: CANARY } })],
  ['binary_data_output', INFER, asked({ parameters: { binary_data_output: CANARY } })],
  ['headers among parameters', INFER, asked({ parameters: { headers: CANARY, scale: CANARY } })],
  ['the id of a sequence', INFER, asked({ parameters: { sequence_id: CANARY } })],
  ['the id of a request', INFER, { id: CANARY, inputs: [] }],
  ['the name of an input', INFER, { inputs: [{ ...input, name: CANARY }] }],
  ['a datatype', INFER, { inputs: [{ ...input, datatype: CANARY }] }],
  ['the name of an output', INFER, asked({ outputs: [{ name: CANARY }] })],
  ['the data of an input', INFER, { inputs: [{ ...input, data: [CANARY] }] }],
  ['the length of a header', INFER, asked({}), { 'inference-header-content-length': CANARY }],
  ['a Content-Type under /v2', INFER, asked({}), { 'content-type': `text/${CANARY}` }],
  ['the layer of a session', '/v1/sessions', { layer: CANARY }],
  ['the layer of a session, well-formed', '/v1/sessions', { layer: CANARY.toLowerCase() }],
  ['the tokens of an append', '/v1/sessions/none/append', { embeddings: CANARY, expected_position: CANARY }],
  ['tokens for a layer', '/v1/layers/two-heads/attention', { embeddings: [[1]], [CANARY]: CANARY }],
];

/** A file of ASCII and zeros, as text. */
function file(parts: Parameters<typeof pack>[0], request: string): string {
  return Buffer.from(pack(parts, { request })).toString('latin1');
}

/** Sends without a Content-Type of its own. */
function sendTo({ url }: TestService, path: string, body: object | string, headers: Record<string, string>) {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body), 'latin1');
  return send(url + path, { method: 'POST', body: bytes, headers: { ...JSON_BODY, ...headers } });
}

describe('what a request holds', () => {
  let service: TestService;
  const { logger, logged, lines } = recordLog();

  beforeAll(async () => {
    service = await listen({ logger });
    await put(`${service.url}/v1/layers/two-heads`, TWO_HEADS);
  });
  afterAll(() => service.close());

  it.each(PLACES)('is not in the log: %s', async (place, path, body, headers = {}) => {
    const id = place.replaceAll(/[^A-Za-z0-9]/g, '_');
    const from = lines.length;
    const { status } = await sendTo(service, path, body, { ...headers, 'x-request-id': id });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(await logged(id)).toMatchObject({ status, path: path.split('?')[0] });
    const since = lines.slice(from);
    expect(since.map(({ level, msg }) => [level, msg])).toEqual([
      [30, 'request refused'],
      [30, 'request'],
    ]);
    expect(JSON.stringify(since).toLowerCase()).not.toContain(CANARY.toLowerCase());
  });

  it('is not in the log where it is answered', async () => {
    const body = asked({ id: CANARY, parameters: { triton_note: CANARY, headers: CANARY } });
    const all = {
      ...body,
      inputs: [input, { ...input, name: 'key' }, { ...input, name: 'value' }],
    };
    const { status, text } = await sendTo(service, INFER, all, { 'x-request-id': 'answered' });
    expect([status, text]).toEqual([200, expect.stringContaining(CANARY)]);
    await logged('answered');
    expect(JSON.stringify(lines).toLowerCase()).not.toContain(CANARY.toLowerCase());
  });

  it('is told by the code of what was wrong with it', async () => {
    await sendTo(service, SDPA, { ...SMALL, scale: CANARY }, { 'x-request-id': 'code' });
    await logged('code');
    expect(lines).toContainEqual(
      expect.objectContaining({ request_id: 'code', code: 'invalid_request', msg: 'request refused' }),
    );
  });
});

describe('a request that finds no place or time', () => {
  it.each([
    ['over_capacity', 503, { queueBytes: 100_000 }, { ...SMALL, bias: filled(1, 100_000) }],
    ['deadline_exceeded', 504, { deadlineMs: 1 }, LONG],
  ])('is a warning without a stack: %s', async (code, status, limits, body) => {
    const { logger, logged, lines } = recordLog();
    const service = await listen({ logger, limits });
    const reply = await sendTo(service, SDPA, body, { 'x-request-id': 'away' });
    expect(reply.json).toMatchObject({ code, status });
    await logged('away');
    await service.close();
    const [line, ...others] = lines.filter(({ level }) => Number(level) >= 40);
    expect(others).toEqual([]);
    expect(line).toMatchObject({ level: 40, code, detail: reply.json.detail, msg: 'request turned away' });
    expect(JSON.stringify(line)).not.toMatch(/stack|node_modules|\.ts/);
  });
});

it('an error of our own is one in the log, with its stack', async () => {
  class BrokenStore extends MemoryStore {
    override find(): never {
      throw new Error('The store is broken.');
    }
  }
  const { logger, logged, lines } = recordLog();
  const service = await listen({ logger, store: new BrokenStore() });
  const headers = { 'x-request-id': 'broken' };
  const { status } = await send(`${service.url}/v1/layers/none`, { headers });
  expect(status).toBe(500);
  await logged('broken');
  await service.close();
  const stack = expect.stringContaining('BrokenStore.find');
  expect(lines).toContainEqual(
    expect.objectContaining({ level: 50, code: 'internal_error', err: expect.objectContaining({ stack }) }),
  );
});

it('says that the machine has no memory left as it says that the service has no room', async () => {
  class GreedyStore extends MemoryStore {
    override find(): never {
      new SharedArrayBuffer(2 ** 50);
      throw new Error('This machine has a petabyte.');
    }
  }
  const { logger, logged, lines } = recordLog();
  const service = await listen({ logger, store: new GreedyStore() });
  const answer = await send(`${service.url}/v1/layers/none`, { headers: { 'x-request-id': 'greedy' } });
  expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  expect(answer.json).toMatchObject({ code: 'over_capacity', detail: expect.stringContaining('no memory') });
  await logged('greedy');
  await service.close();
  expect(lines).toContainEqual(expect.objectContaining({ level: 40, code: 'over_capacity' }));
});
