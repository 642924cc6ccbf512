import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REFUSALS } from './refused-bodies.ts';
import { listen, post, type Reply, SDPA, SMALL, send, type TestService } from './support.ts';

const BODY_LIMIT = 1024 * 1024;

describe('what the service refuses', () => {
  let service: TestService;

  beforeAll(async () => {
    service = await listen({ limits: { bodyBytes: BODY_LIMIT, mapBytes: 8_000_000 } });
  });
  afterAll(async () => {
    // Whatever was refused, the service is as good as new, and nothing is held.
    expect((await post(service.url + SDPA, SMALL)).json.output).toEqual([[expect.closeTo(9.7154448, 5)]]);
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
    expect(chunked.json.output).toEqual([[expect.closeTo(9.7154448, 5)]]);
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
    [
      'a Content-Encoding that is not read',
      { 'content-encoding': 'compress' },
      415,
      'unsupported_media_type',
      /gzip, deflate, br, zstd.*got "compress"/,
    ],
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
