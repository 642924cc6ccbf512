import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { type Dispatcher, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAcceptEncoding } from '../../src/http/accept-encoding.ts';
import { engineReaches, listen, SDPA, SMALL, type TestService } from './support.ts';

const DECOMPRESS = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync } as const;
type Coding = keyof typeof DECOMPRESS;
const CODINGS = Object.keys(DECOMPRESS) as Coding[];

/** A call whose answer is that many numbers. */
const long = (count: number, encoding = 'nested') => ({
  query: [[1]],
  key: [[1]],
  value: [Array.from({ length: count }, (_, index) => Math.sin(index))],
  response: { encoding },
});

describe('Accept-Encoding', () => {
  it.each([
    [undefined, undefined, true],
    ['', undefined, true],
    ['gzip', 'gzip', true],
    ['x-gzip', 'gzip', true],
    ['gzip, deflate', 'gzip', true],
    ['gzip, deflate, br, zstd', 'zstd', true],
    ['GZIP;Q=0.5, Br ; q=0.8', 'br', true],
    ['zstd;q=0, *', 'br', true],
    ['*', 'zstd', true],
    ['*;q=0', undefined, false],
    ['gzip, *;q=0', 'gzip', false],
    ['identity, *;q=0', undefined, true],
    ['gzip;q=0.5, identity', undefined, true],
    ['gzip;q=0.5, identity;q=0.5', 'gzip', true],
    ['identity;q=0', undefined, false],
    ['gzip;q=0', undefined, true],
    ['compress', undefined, true],
    ['br;q=2, zstd;q=x, ;;, gzip;q=0.001', 'gzip', true],
  ])('%s', (header, best, identity) => {
    expect(readAcceptEncoding(header)).toEqual({ best, identity });
  });
});

describe('responses', () => {
  let service: TestService;

  beforeAll(async () => {
    service = await listen();
  });
  afterAll(async () => {
    await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    await service.close();
  });

  const ask = async (path: string, acceptEncoding: string | null, body?: object, method?: string) => {
    const {
      statusCode,
      headers,
      body: stream,
    } = await request(service.url + path, {
      method: (method ?? (body === undefined ? 'GET' : 'POST')) as Dispatcher.HttpMethod,
      headers: {
        ...(acceptEncoding === null ? {} : { 'accept-encoding': acceptEncoding }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: statusCode, headers, bytes: Buffer.from(await stream.arrayBuffer()) };
  };

  it.each(CODINGS)('of some length are sent as %s, to the same text', async (coding) => {
    for (const count of [1000, 200_000]) {
      const plain = await ask(SDPA, null, long(count));
      const { status, headers, bytes } = await ask(SDPA, coding, long(count));
      expect(status).toBe(200);
      expect(headers).toMatchObject({
        'content-encoding': coding,
        'content-type': 'application/json',
        'content-length': String(bytes.length),
        vary: 'Accept-Encoding',
      });
      expect(bytes.length).toBeLessThan(plain.bytes.length * 0.6);
      expect(DECOMPRESS[coding](bytes).equals(plain.bytes)).toBe(true);
      expect(plain.headers).not.toHaveProperty('content-encoding');
      expect(plain.headers).toMatchObject({
        vary: 'Accept-Encoding',
        'content-length': String(plain.bytes.length),
      });
    }
  });

  it.each(CODINGS)('are documents too, as %s', async (coding) => {
    for (const path of ['/openapi.json', '/openapi.yaml', '/', '/docs/static/swagger-ui-bundle.js']) {
      const plain = await ask(path, null);
      const { status, headers, bytes } = await ask(path, coding);
      expect(status, path).toBe(200);
      expect(headers, path).toMatchObject({ 'content-encoding': coding, vary: 'Accept-Encoding' });
      expect(DECOMPRESS[coding](bytes).equals(plain.bytes), path).toBe(true);
      expect(bytes.length, path).toBeLessThan(plain.bytes.length / 2);
      expect(headers['content-type']).toBe(plain.headers['content-type']);
    }
  });

  it.each([
    ['a short one', SMALL],
    ['tensors as base64', long(5000, 'base64')],
    ['a problem', { ...SMALL, causal: true }],
  ])('go as they are where compression does not pay: %s', async (_what, body) => {
    const { headers, bytes } = await ask(SDPA, 'gzip, br, zstd', body);
    expect(headers).not.toHaveProperty('content-encoding');
    expect(headers).toMatchObject({ vary: 'Accept-Encoding', 'content-length': String(bytes.length) });
    expect(JSON.parse(bytes.toString())).toBeTypeOf('object');
  });

  it.each([
    ['a short one', SMALL],
    ['tensors as base64', long(5000, 'base64')],
  ])('are compressed also then, where the caller excludes identity: %s', async (_what, body) => {
    const { headers, bytes } = await ask(SDPA, 'gzip, identity;q=0', body);
    expect(headers['content-encoding']).toBe('gzip');
    const plain = await ask(SDPA, null, body);
    expect(gunzipSync(bytes).equals(plain.bytes)).toBe(true);
  });

  it.each(['identity;q=0', '*;q=0', 'br, identity;q=0'])(
    'of what computes nothing, or for a model, are sent all the same where no coding is left: %s',
    async (acceptEncoding) => {
      const one = { shape: [1, 1], datatype: 'FP32', data: [1] };
      const infer = { inputs: ['query', 'key', 'value'].map((name) => ({ name, ...one })) };
      for (const [path, body] of [
        ['/v1/info'],
        ['/metrics'],
        ['/health/live'],
        ['/v1/layers'],
        ['/v2'],
        ['/v2/models'],
        ['/v2/models/scaled-dot-product-attention/infer', infer],
      ] as const) {
        const { status, headers } = await ask(path, acceptEncoding, body);
        expect(status, path).toBe(200);
        if (path.startsWith('/v2')) expect(headers).not.toHaveProperty('content-encoding');
      }
    },
  );

  it('are refused before anything is computed where no coding is accepted', async () => {
    const { tilesComputed } = service.engine.stats();
    const { status, bytes } = await ask(SDPA, 'compress, *;q=0', SMALL);
    expect(status).toBe(406);
    expect(JSON.parse(bytes.toString())).toMatchObject({
      code: 'not_acceptable',
      detail: expect.stringMatching(/identity or one of zstd, br, gzip; got "compress, \*;q=0"/),
    });
    expect(service.engine.stats().tilesComputed).toBe(tilesComputed);
  });

  it('to HEAD say what there is, without compressing it', async () => {
    const { status, headers, bytes } = await ask('/openapi.json', 'gzip', undefined, 'HEAD');
    expect({ status, bytes: bytes.length }).toEqual({ status: 200, bytes: 0 });
    expect(Number(headers['content-length'])).toBeGreaterThan(100_000);
  });
});
