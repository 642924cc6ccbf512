import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, send, type TestService } from './support.ts';

const ENVELOPE_BYTES = 4096;
const INDEX = '/v2/repository/index';
const ADDRESSES = [
  INDEX,
  '/v2/repository/models/multi-head-attention/load',
  '/v2/repository/models/multi-head-attention/unload',
];

describe('a body of the repository', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await listen({ limits: { envelopeBytes: ENVELOPE_BYTES } });
  });
  afterAll(() => service.close());

  const ask = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
    send(service.url + path, { method: 'POST', headers, body });

  it.each(['application/json', 'text/plain', '???', '', undefined])(
    'is JSON, said to be %s',
    async (type) => {
      const headers = type === undefined ? {} : { 'content-type': type };
      for (const body of ['', '{}', '{"ready": true}']) {
        const reply = await ask(INDEX, body, headers);
        expect(reply.status).toBe(200);
        expect(reply.json).toContainEqual(expect.objectContaining({ name: 'multi-head-attention' }));
      }
      expect((await ask(INDEX, '{"ready": 1}', headers)).json.error).toMatch(/^\/ready: Expected .* got 1/);
    },
  );

  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('may be compressed: %s', async (coding, compress) => {
    const headers = { 'content-encoding': coding };
    expect((await ask(INDEX, compress('{"ready": true}'), headers)).status).toBe(200);
    const wrong = await ask(INDEX, compress('{"raedy": true}'), headers);
    expect(wrong.json.error).toMatch(/"raedy"; did you mean "ready"/);
    const broken = await ask(INDEX, '{"ready": true}', headers);
    expect([broken.status, broken.json.error]).toEqual([400, expect.stringContaining(`${coding}: `)]);
    const bomb = await ask(INDEX, compress(Buffer.alloc(64 * 2 ** 20, ' ')), headers);
    expect(bomb).toMatchObject({ status: 413, json: { error: expect.stringContaining(' 4096 bytes here') } });
  });

  it.each(ADDRESSES)('is refused where it is coded otherwise, or too large: %s', async (path) => {
    const coded = await ask(path, '{}', { 'content-encoding': 'compress' });
    expect([coded.status, coded.json.error]).toEqual([415, expect.stringContaining('Content-Encoding: ')]);
    const large = await ask(path, ' '.repeat(ENVELOPE_BYTES + 1));
    const error = 'The body may have 4096 bytes here; Content-Length says 4097.';
    expect([large.status, large.json]).toEqual([413, { error }]);
  });
});
