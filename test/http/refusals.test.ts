import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, MHA, post, type Reply, SDPA, SMALL, send, type TestService } from './support.ts';

const BODY_LIMIT = 1024 * 1024;

const identity = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];
const projections = { w_q: identity, w_k: identity, w_v: identity };
const BRACKETS = '['.repeat(400_000) + ']'.repeat(400_000);
const zeros = (rows: number) => ({ shape: [rows, 1], data: Buffer.alloc(rows * 4).toString('base64') });

/** What is sent where, and what comes back: status, code, pointer of the first fault, and words of the message. */
type Refusal = [
  name: string,
  path: string,
  body: object | string,
  status: number,
  code: string,
  pointer: string,
  words: RegExp,
];

const REFUSALS: Refusal[] = [
  [
    'a tensor of the wrong rank',
    SDPA,
    { ...SMALL, query: [1, 2] },
    422,
    'shape_mismatch',
    '/query',
    /rank.*got \[2\]/,
  ],
  [
    'ragged nested arrays',
    SDPA,
    { ...SMALL, query: [[1, 2], [3]] },
    422,
    'invalid_tensor',
    '/query/1',
    /2 entries.*got 1/,
  ],
  [
    'a width that heads do not divide',
    MHA,
    { embeddings: [[1, 2, 3]], heads: 2, projections },
    422,
    'shape_mismatch',
    '/projections/w_q',
    /3 cannot be split.* 2 heads/,
  ],
  [
    'NaN',
    SDPA,
    '{"query":[[NaN,2]],"key":[[1,0]],"value":[[4]]}',
    422,
    'invalid_tensor',
    '/query/0/0',
    /NaN/,
  ],
  [
    'NaN in bytes',
    SDPA,
    {
      ...SMALL,
      query: { shape: [1, 2], data: Buffer.from(Float32Array.of(1, NaN).buffer).toString('base64') },
    },
    422,
    'invalid_tensor',
    '/query/data',
    /\[0, 1\].*NaN/,
  ],
  [
    '1e39',
    SDPA,
    '{"query":[[1,1e39]],"key":[[1,0]],"value":[[4]]}',
    422,
    'invalid_tensor',
    '/query/0/1',
    /1e39/,
  ],
  [
    'an unknown field',
    SDPA,
    { ...SMALL, hedas: 2 },
    400,
    'invalid_request',
    '/hedas',
    /Unknown.*did you mean "heads"/,
  ],
  [
    'a name in another style',
    SDPA,
    { ...SMALL, kvHeads: 1 },
    400,
    'invalid_request',
    '/kvHeads',
    /did you mean "kv_heads"/,
  ],
  [
    'a missing field',
    SDPA,
    { query: [[1]], key: [[1]] },
    400,
    'invalid_request',
    '/value',
    /Missing; expected a tensor/,
  ],
  [
    'a number as a text',
    SDPA,
    { ...SMALL, heads: '1' },
    400,
    'invalid_request',
    '/heads',
    /an integer >= 1; got "1" \(a string\)/,
  ],
  [
    'null for a number',
    SDPA,
    { ...SMALL, scale: null },
    400,
    'invalid_request',
    '/scale',
    /a number; got null/,
  ],
  [
    'a word that is none of the choices',
    SDPA,
    { ...SMALL, precision: 'float16' },
    400,
    'invalid_request',
    '/precision',
    /"float32" or "float64"; got "float16"/,
  ],
  [
    'no form of a union',
    SDPA,
    { ...SMALL, causal: 'upper' },
    400,
    'invalid_request',
    '/causal',
    /true or false, "none", "upper_left", "lower_right" or an object with offset; got "upper"/,
  ],
  [
    'a fault inside the one form that is meant',
    SDPA,
    { ...SMALL, causal: { ofset: 1 } },
    400,
    'invalid_request',
    '/causal/offset',
    /Missing; expected an integer/,
  ],
  [
    'a fault deep inside',
    SDPA,
    { ...SMALL, return: { weights: { heads: [0, 'first'] } } },
    400,
    'invalid_request',
    '/return/weights/heads/1',
    /an integer >= 0; got "first"/,
  ],
  [
    'causal: true where L and S differ',
    SDPA,
    { ...SMALL, causal: true },
    422,
    'invalid_option',
    '/causal',
    /upper_left.*lower_right/,
  ],
  [
    'a mask of rank 3',
    SDPA,
    { ...SMALL, allow_mask: [[[true, false]]] },
    422,
    'shape_mismatch',
    '/allow_mask',
    /Rank 3 could mean/,
  ],
  [
    'maps over the budget',
    SDPA,
    { query: zeros(2000), key: zeros(2000), value: zeros(2000), return: { weights: true } },
    422,
    'over_budget',
    '/return/weights',
    /16,000,000 bytes/,
  ],
  [
    'a row without a key, where that is an error',
    SDPA,
    { ...SMALL, key_lengths: [0], empty_rows: 'error' },
    422,
    'empty_row',
    '/empty_rows',
    /query 0/,
  ],
  ['800 KB of brackets', SDPA, `{"query":${BRACKETS}}`, 400, 'malformed_body', '', /deep|nest/],
  [
    '800 KB of brackets beside the tensors',
    SDPA,
    `{"return":${BRACKETS}}`,
    400,
    'malformed_body',
    '',
    /deep|nest/,
  ],
  [
    '__proto__',
    SDPA,
    '{"__proto__":{"heads":2},"query":[[1]]}',
    400,
    'malformed_body',
    '/__proto__',
    /__proto__/,
  ],
  [
    '__proto__ further down',
    SDPA,
    '{"return":{"__proto__":{"kv":true}}}',
    400,
    'malformed_body',
    '/return/__proto__',
    /__proto__/,
  ],
  ['an array for a body', SDPA, '[1]', 400, 'malformed_body', '', /object/],
  ['half a body', SDPA, '{"query":[[1', 400, 'malformed_body', '', /end/],
  ['no body', SDPA, '', 400, 'malformed_body', '', /end/],
  [
    'a parent of tensors that is no object',
    MHA,
    { embeddings: [[1]], projections: 5 },
    400,
    'invalid_request',
    '/projections',
    /object; got 5/,
  ],
];

describe('what the service refuses', () => {
  let service: TestService;

  beforeAll(async () => {
    service = await listen({ limits: { bodyBytes: BODY_LIMIT, mapBytes: 8_000_000 } });
  });
  afterAll(async () => {
    // Whatever was refused, the service is as good as new, and nothing is held.
    expect((await post(service.url + SDPA, SMALL)).json.output).toEqual([[9.715445]]);
    await service.close();
    expect(service.engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, workersLost: 0 });
  });

  it.each(REFUSALS)('%s', async (_name, path, body, status, code, pointer, words) => {
    const reply = await post(service.url + path, body);
    expectProblem(reply, status, code, path);
    expect(reply.json.detail).toMatch(words);
    if (pointer !== '') expect(reply.json.errors[0].pointer).toBe(pointer);
  });

  it('several faults at once, each with its pointer', async () => {
    const body = { ...SMALL, hedas: 1, scale: '1', window: { left: -1, rihgt: 2 } };
    const { json } = await post(service.url + SDPA, body);
    const pointers = json.errors.map(({ pointer }: { pointer: string }) => pointer);
    expect(pointers.sort()).toEqual(['/hedas', '/scale', '/window/left', '/window/rihgt']);
    expect(json.detail).toMatch(/And 3 more faults\.$/);
  });

  it('thousands of faults, without listing them', async () => {
    const heads = Array.from({ length: 20_000 }, () => 'x');
    const { json, status } = await post(service.url + SDPA, { ...SMALL, return: { weights: { heads } } });
    expect(status).toBe(400);
    expect(json.errors).toHaveLength(1);
    expect(json.errors[0].pointer).toBe('/return/weights/heads/0');
  });

  it('a body over the limit by its length', async () => {
    const reply = await post(service.url + SDPA, ' '.repeat(BODY_LIMIT + 1));
    expectProblem(reply, 413, 'body_too_large', SDPA);
    expect(reply.json.detail).toMatch(/1048576.*1048577/);
  });

  it('a body over the limit as it comes', async () => {
    const chunk = Buffer.alloc(64 * 1024, ' ');
    const reply = await send(service.url + SDPA, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Readable.from(Array.from({ length: 40 }, () => chunk)),
    });
    expectProblem(reply, 413, 'body_too_large', SDPA);
  });

  it('takes a body of the limit, whether it names its length or not', async () => {
    const body = Buffer.alloc(BODY_LIMIT, ' ');
    body.write(JSON.stringify(SMALL));
    expect((await post(service.url + SDPA, body.toString())).status).toBe(200);
    const chunked = await send(service.url + SDPA, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Readable.from([body.subarray(0, 7), body.subarray(7, 100_000), body.subarray(100_000)]),
    });
    expect(chunked.json.output).toEqual([[9.715445]]);
  });

  it.each([
    [
      'a Content-Type that is not read',
      { 'content-type': 'text/csv' },
      415,
      'unsupported_media_type',
      /application\/json/,
    ],
    ['no media type at all', { 'content-type': 'json' }, 415, 'unsupported_media_type', /application\/json/],
    [
      'another charset',
      { 'content-type': 'application/json; charset=latin1' },
      415,
      'unsupported_media_type',
      /UTF-8/,
    ],
    ['a Content-Encoding', { 'content-encoding': 'gzip' }, 415, 'unsupported_media_type', /gzip/],
    [
      'an Accept that rules everything out',
      { accept: 'text/csv' },
      406,
      'not_acceptable',
      /application\/json/,
    ],
    [
      'a deadline in words',
      { 'x-deadline-ms': 'soon' },
      400,
      'invalid_header',
      /positive integer; got "soon"/,
    ],
    ['a deadline of 0', { 'x-deadline-ms': '0' }, 400, 'invalid_header', /positive integer; got "0"/],
  ])('%s', async (_name, headers, status, code, words) => {
    const reply = await post(service.url + SDPA, SMALL, headers as unknown as Record<string, string>);
    expectProblem(reply, status, code, SDPA);
    expect(reply.json.detail).toMatch(words);
  });

  it('takes JSON without a Content-Type', async () => {
    const reply = await send(service.url + SDPA, { method: 'POST', body: JSON.stringify(SMALL) });
    expect(reply.status).toBe(200);
  });
});

function expectProblem(reply: Reply, status: number, code: string, path: string): void {
  expect(reply.json).toMatchObject({ status, code, type: `/problems/${code}`, instance: path });
  expect(reply.status).toBe(status);
  expect(reply.headers['content-type']).toBe('application/problem+json');
  expect(reply.json.request_id).toBe(reply.headers['x-request-id']);
  expect(reply.json.title).not.toBe('');
  expect(Array.isArray(reply.json.errors)).toBe(true);
}
