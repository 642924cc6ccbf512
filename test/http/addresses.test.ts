import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, type TestService } from './support.ts';

let service: TestService;
beforeAll(async () => {
  service = await listen();
});
afterAll(() => service.close());

/** Sends a request target as it stands; `fetch` and its like would resolve it first. */
async function ask(method: string, target: string) {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request(service.url, { method, path: target }, resolve).on('error', reject).end();
  const response = await promise;
  const body = await text(response);
  const json = String(response.headers['content-type']).includes('json') ? JSON.parse(body) : undefined;
  return { status: response.statusCode, allow: response.headers.allow, json };
}

describe('other spellings of an address', () => {
  it.each([
    ['with a host', 'http://x'],
    ['with a host in upper case', 'HTTP://X:80'],
    ['with TLS', 'https://user@[::1]'],
  ])('%s, are the same address (RFC 9112, 3.2.2)', async (_how, prefix) => {
    expect(await ask('GET', `${prefix}/v1/info`)).toMatchObject({ status: 200, json: { threads: 1 } });
    expect(await ask('GET', `${prefix}/v2/models/nope`)).toMatchObject({
      status: 404,
      json: { error: 'There is no model "nope"; GET /v2/models lists all.' },
    });
    expect(await ask('DELETE', `${prefix}/v2/models`)).toMatchObject({
      status: 405,
      allow: 'GET, HEAD, OPTIONS',
      json: { error: '/v2/models takes GET, HEAD, OPTIONS; got DELETE.' },
    });
    expect(await ask('OPTIONS', `${prefix}/v2`)).toMatchObject({ status: 204, allow: 'GET, HEAD, OPTIONS' });
    expect(await ask('DELETE', prefix)).toMatchObject({ status: 405, json: { instance: '/' } });
    expect(await ask('DELETE', `${prefix}?a=b`)).toMatchObject({ status: 405, json: { instance: '/' } });
  });

  it.each(['/%76%32', '/v%32', '/%762'])('escaped without need are the same: %s', async (prefix) => {
    expect((await ask('GET', prefix)).json).toMatchObject({ name: 'attention-api' });
    expect(await ask('GET', `${prefix}/models/%6eope`)).toMatchObject({
      status: 404,
      json: { error: expect.stringContaining('"nope"') },
    });
    expect((await ask('DELETE', `${prefix}/models`)).json).toEqual({
      error: '/v2/models takes GET, HEAD, OPTIONS; got DELETE.',
    });
  });

  it('end where a fragment begins', async () => {
    expect(await ask('DELETE', '/v2#models')).toMatchObject({
      status: 405,
      json: { error: '/v2 takes GET, HEAD, OPTIONS; got DELETE.' },
    });
  });

  it('keep the escapes that mean something', async () => {
    expect((await ask('GET', '/v2/models/a%2Fb')).json.error).toContain('"a/b"');
    expect((await ask('GET', '/v2/models/%2541')).json.error).toContain('"%41"');
    expect((await ask('GET', '/v2%3Fmodels')).status).toBe(404);
  });

  it.each(['/%', '/%7', '/%zz', '/%%341', '/%ff', '/v1/layers/%ff'])('broken: %s', async (target) => {
    expect(await ask('GET', target)).toMatchObject({ status: 400, json: { code: 'malformed_request' } });
  });
});

describe('an address that there is not', () => {
  it.each([
    '/v1/./info',
    '/v1/../v1/info',
    '/v1/info/.',
    '/v1/%2e/info',
    '/v1/info/',
    '/v1//info',
    '/v1/INFO',
    'ftp://x/v1/info',
    '*',
  ])('%s answers 404, by any method', async (target) => {
    for (const method of ['GET', 'DELETE']) {
      expect(await ask(method, target)).toMatchObject({ status: 404, json: { code: 'not_found' } });
    }
  });

  it('is no reason to refuse OPTIONS *, which asks for the server', async () => {
    expect(await ask('OPTIONS', '*')).toMatchObject({
      status: 204,
      allow: 'GET, HEAD, POST, DELETE, PUT, OPTIONS',
    });
  });
});

describe('a name in an address', () => {
  it.each([
    ['GET', '/v1/layers/{}', 400, 'invalid_request'],
    ['DELETE', '/v1/layers/{}', 400, 'invalid_request'],
    ['GET', '/v1/layers/{}/projections', 400, 'invalid_request'],
    ['POST', '/v1/layers/{}/attention', 400, 'invalid_request'],
    ['GET', '/v1/sessions/{}', 404, 'not_found'],
    ['POST', '/v1/sessions/{}/append', 404, 'not_found'],
    ['GET', '/problems/{}', 404, 'not_found'],
  ])('that is very long is refused as any other: %s %s', async (method, path, status, code) => {
    for (const length of [101, 10_000]) {
      const { json, ...rest } = await ask(method, path.replace('{}', 'a'.repeat(length)));
      expect(rest.status).toBe(status);
      expect(json.code).toBe(code);
      expect(json.detail.length).toBeLessThan(300);
    }
  });

  it.each([
    ['GET', '/v2/models/{}'],
    ['GET', '/v2/models/{}/ready'],
    ['GET', '/v2/models/{}/versions/1'],
    ['GET', '/v2/models/multi-head-attention/versions/{}'],
    ['POST', '/v2/models/{}/infer'],
    ['POST', '/v2/repository/models/{}/load'],
  ])('of a model too: %s %s', async (method, path) => {
    for (const length of [101, 10_000]) {
      const { status, json } = await ask(method, path.replace('{}', '1'.repeat(length)));
      expect(status).toBe(404);
      expect(json.error).toMatch(/^(There is no model|The model .* has version 1; got) "1{64}/);
    }
  });

  it('may be empty or dots, and is found as little by a method that there is not', async () => {
    for (const name of ['', '.', '..']) {
      expect((await ask('GET', `/v1/sessions/${name}`)).status).toBe(404);
      expect(await ask('PATCH', `/v1/sessions/${name}`)).toMatchObject({
        status: 405,
        allow: 'GET, HEAD, DELETE, OPTIONS',
      });
    }
  });
});
