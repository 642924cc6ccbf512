import { readFileSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createDeflate,
  createGzip,
  createZstdCompress,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readDecompressed } from '../../src/http/content-encoding.ts';
import { answerOf, openPost } from '../support/exchange.ts';
import { startService } from '../support/service-process.ts';
import { getInferenceRequest } from '../support/triton.ts';
import { engineReaches, listen, post, type Reply, SDPA, SMALL, send, type TestService } from './support.ts';

const MIB = 1024 * 1024;
const BODY_LIMIT = MIB;
const PLAIN = Buffer.from(JSON.stringify(SMALL));

const CODINGS = [
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['GZIP', gzipSync],
  ['deflate', deflateSync],
  ['deflate', deflateRawSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
] as const;

const COMPRESSORS = [
  ['gzip', createGzip],
  ['deflate', createDeflate],
  ['br', createBrotliCompress],
  ['zstd', createZstdCompress],
] as const;

/** 256 MiB of zeros by coding. */
let bombs: readonly (readonly [coding: string, bytes: Buffer])[];

beforeAll(async () => {
  const zeros = Array<Buffer>(256).fill(Buffer.alloc(MIB));
  bombs = await Promise.all(
    COMPRESSORS.map(
      async ([coding, compress]) => [coding, await buffer(Readable.from(zeros).pipe(compress()))] as const,
    ),
  );
  const [, zstd] = bombs[3];
  bombs = [...bombs, ['zstd', Buffer.concat([zstdCompressSync(PLAIN), skippable(5), zstd])]];
}, 120_000);

describe('a body with a Content-Encoding', () => {
  let service: TestService;
  const sendCoded = (coding: string, body: Buffer | Readable): Promise<Reply> =>
    send(service.url + SDPA, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': coding },
      body,
    });
  const inPieces = (bytes: Buffer, size: number) =>
    Readable.from(
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, piece) =>
        bytes.subarray(piece * size, (piece + 1) * size),
      ),
    );

  beforeAll(async () => {
    service = await listen({ limits: { bodyBytes: BODY_LIMIT } });
  });
  // Whatever came, nothing is held.
  afterEach(() => engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0));
  afterAll(async () => {
    await service.close();
    expect(service.engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, workersLost: 0 });
  });

  it.each(CODINGS)('of %s by %o is read as without it', async (coding, compress) => {
    const { text: plain } = await post(service.url + SDPA, SMALL);
    const coded = compress(PLAIN);
    for (const body of [coded, inPieces(coded, 1), inPieces(coded, coded.length)]) {
      const reply = await sendCoded(coding, body);
      expect(reply).toMatchObject({ status: 200, text: plain });
    }
  });

  it.each(CODINGS)('of %s by %o grows to the limit, and not over it', async (coding, compress) => {
    const value = Array.from({ length: 60_000 }, (_, index) => (index * 7919) % 1013);
    const body = Buffer.alloc(BODY_LIMIT + 1, ' ');
    body.write(JSON.stringify({ query: [[1]], key: [[1]], value: [value] }));
    const reply = await sendCoded(coding, compress(body.subarray(0, BODY_LIMIT)));
    expect(reply.json.output).toEqual([value]);
    const name = coding.toLowerCase().replace('x-', '');
    const words = new RegExp(
      `^The body may have 1048576 bytes here, decompressed; more came out of its ${name}\\.$`,
    );
    expectProblem(await sendCoded(coding, compress(body)), 413, 'body_too_large', words);
    // Without a coding it is the body itself that is counted.
    const plain = await send(service.url + SDPA, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: inPieces(body, BODY_LIMIT),
    });
    expectProblem(plain, 413, 'body_too_large', /^The body may have 1048576 bytes here; more came\.$/);
  });

  it.each(CODINGS)(
    'of %s by %o may be an inference request, whose header counts after it',
    async (coding, compress) => {
      const tensor = (name: string, shape: number[], data: number[]) =>
        ({ name, shape, datatype: 'FP32', array: Float32Array.from(data) }) as const;
      const inputs = [
        tensor('query', [1, 2], [1, 2]),
        tensor('key', [2, 2], [1, 0, 0, 2]),
        tensor('value', [2, 1], [4, 10]),
      ];
      const { body, jsonSize } = getInferenceRequest(inputs, { parameters: { scale: 1 } });
      // The Python client names no Content-Type.
      const headers = { 'content-encoding': coding, 'inference-header-content-length': String(jsonSize) };
      const {
        statusCode,
        headers: answered,
        body: answer,
      } = await request(`${service.url}/v2/models/scaled-dot-product-attention/infer`, {
        method: 'POST',
        headers,
        body: compress(body),
      });
      const bytes = Buffer.from(await answer.arrayBuffer());
      expect(statusCode, bytes.toString()).toBe(200);
      expect(bytes.readFloatLE(Number(answered['inference-header-content-length']))).toBeCloseTo(
        9.7154448,
        5,
      );
    },
  );

  it('may name identity beside it, or alone', async () => {
    expect((await sendCoded('identity, gzip', gzipSync(PLAIN))).status).toBe(200);
    expect((await sendCoded('identity', PLAIN)).status).toBe(200);
  });

  it('may be several gzip members, which follow each other (RFC 1952)', async () => {
    const members = Buffer.concat([gzipSync(PLAIN.subarray(0, 20)), gzipSync(PLAIN.subarray(20))]);
    expect((await sendCoded('gzip', members)).status).toBe(200);
    expect((await sendCoded('gzip', inPieces(members, 1))).status).toBe(200);
  });

  describe('may be several zstd frames, which follow each other, some of them skippable (RFC 8878)', () => {
    const [first, second] = [PLAIN.subarray(0, 20), PLAIN.subarray(20)].map((part) => zstdCompressSync(part));
    const empty = zstdCompressSync('');

    it.each([
      ['two frames', [first, second]],
      ['an empty one between them', [first, empty, second]],
      ['a skippable one first', [skippable(100), first, second]],
      ['skippable ones everywhere', [skippable(0), first, skippable(7000, 15), second, skippable(9)]],
      ['a thousand of them', [...Array<Buffer>(1000).fill(empty), first, second]],
    ])('%s', async (_what, frames) => {
      const body = Buffer.concat(frames);
      const { text: plain } = await post(service.url + SDPA, SMALL);
      for (const sent of [body, Readable.from(frames), inPieces(body, 7)]) {
        expect(await sendCoded('zstd', sent)).toMatchObject({ status: 200, text: plain });
      }
    });

    it('and are refused where one is cut off, broken, or followed by something else', async () => {
      const broken = Buffer.from(second);
      broken[4] ^= 0xff;
      for (const frames of [
        [first, second.subarray(0, -1)],
        [first, second.subarray(0, 2)],
        [first, second, skippable(10).subarray(0, 12)],
        [skippable(10), first, broken],
        [first, second, Buffer.from('garbage')],
        [skippable(0), Buffer.from('{}')],
      ]) {
        for (const sent of [Buffer.concat(frames), Readable.from(frames)]) {
          expectProblem(await sendCoded('zstd', sent), 400, 'malformed_body', /zstd: .*\w/);
        }
      }
    });

    it('and keep to the limit together', async () => {
      const half = zstdCompressSync(Buffer.alloc(BODY_LIMIT / 2, ' '));
      expectProblem(await sendCoded('zstd', Buffer.concat([half, half])), 400, 'malformed_body', /JSON/);
      const body = Buffer.concat([half, skippable(5), half, first]);
      expectProblem(await sendCoded('zstd', body), 413, 'body_too_large', /1048576/);
      expectProblem(
        await sendCoded('zstd', Buffer.concat([half, bombs[3][1]])),
        413,
        'body_too_large',
        /1048576/,
      );
    });

    it('and not more than the work is bounded for', async () => {
      const body = Buffer.concat(Array<Buffer>(5000).fill(skippable(0)));
      expectProblem(await sendCoded('zstd', body), 400, 'malformed_body', /more than 4096 frames/);
    });
  });

  it.each([
    ['compress', /expected one of gzip, deflate, br, zstd, or "identity"; got "compress"/],
    ['gzip, br', /expected one of gzip, .*; got several in a row/],
    ['gzip, snappy', /got several in a row/],
    ['a'.repeat(1000), /got "a{96}…"/],
  ])('of %s is refused with the codings that are read', async (coding, words) => {
    expectProblem(await sendCoded(coding, PLAIN), 415, 'unsupported_media_type', words);
  });

  describe.each(CODINGS.filter(([coding]) => coding.toLowerCase() === coding))(
    'of %s by %o',
    (coding, compress) => {
      const coded = compress(Buffer.concat([PLAIN, Buffer.alloc(100_000, ' ')]));
      const refused = async (body: Buffer | Readable) =>
        expectProblem(
          await sendCoded(coding, body),
          400,
          'malformed_body',
          new RegExp(`${coding.replace('x-', '')}: `),
        );

      it('is refused where it is cut off', async () => {
        for (const length of [0, 1, coded.length >> 1, coded.length - 1])
          await refused(coded.subarray(0, length));
      });

      it('is refused where something follows its end', async () => {
        for (const rest of ['garbage', '\0', '\0'.repeat(100_000)]) {
          const body = Buffer.concat([coded, Buffer.from(rest)]);
          await refused(body);
          await refused(Readable.from([coded, Buffer.from(rest)]));
          await refused(inPieces(body.subarray(0, coded.length + 10), 1));
        }
      });

      it('is refused where it is something else', async () => {
        await refused(PLAIN);
        await refused(Buffer.alloc(1000));
        await refused(Buffer.alloc(1000, 0xff));
      });

      it('is refused or read where a bit of it is wrong, and nothing else happens', async () => {
        for (let bit = 0; bit < coded.length * 8; bit += Math.ceil(coded.length / 8)) {
          const damaged = Buffer.from(coded);
          damaged[bit >> 3] ^= 1 << (bit & 7);
          const { status, json } = await sendCoded(coding, damaged);
          expect([200, 400, 413, 422], JSON.stringify(json)).toContain(status);
        }
      });
    },
  );

  it('is refused where its window is larger than 8 MiB (RFC 9659)', async () => {
    const params = { [constants.ZSTD_c_windowLog]: 24, [constants.ZSTD_c_enableLongDistanceMatching]: 1 };
    const frame = await buffer(Readable.from([PLAIN, PLAIN]).pipe(createZstdCompress({ params })));
    expectProblem(await sendCoded('zstd', frame), 400, 'malformed_body', /zstd: .*memory/);
  });

  it('is refused as soon as it is over the limit, while more of it is on the way', async () => {
    for (const [coding, bomb] of bombs) {
      const exchange = openPost(service.url, SDPA, { 'content-encoding': coding });
      const answer = answerOf(exchange);
      exchange.write(bomb.subarray(0, bomb.length - 1));
      expect(await answer, coding).toMatchObject({ status: 413, body: { code: 'body_too_large' } });
      exchange.destroy();
    }
  });

  it('is refused where it stays empty but has more compressed bytes than a body may have', async () => {
    const member = gzipSync('');
    const members = Buffer.concat(Array<Buffer>(Math.ceil(BODY_LIMIT / member.length) + 1).fill(member));
    expectProblem(await sendCoded('gzip', members), 413, 'body_too_large', /Content-Length/);
    const reply = await sendCoded('gzip', inPieces(members, 1000));
    expectProblem(reply, 413, 'body_too_large', /still compressed/);
  });

  it('keeps its deadline while it is on the way', async () => {
    for (const [coding, compress] of CODINGS) {
      for (const sent of [0, 10]) {
        const exchange = openPost(service.url, SDPA, { 'content-encoding': coding, 'x-deadline-ms': '20' });
        const answer = answerOf(exchange);
        exchange.flushHeaders();
        if (sent > 0) exchange.write(compress(PLAIN).subarray(0, sent));
        expect(await answer, coding).toMatchObject({ status: 504, body: { code: 'deadline_exceeded' } });
        exchange.destroy();
      }
    }
  });

  it('is given up when its client goes away', async () => {
    for (const [coding, compress] of CODINGS) {
      const exchange = openPost(service.url, SDPA, { 'content-encoding': coding });
      exchange.on('error', () => {});
      exchange.write(compress(PLAIN).subarray(0, 10));
      await engineReaches(service.engine, ({ requests }) => requests === 1);
      exchange.destroy();
      await engineReaches(service.engine, ({ requests, bytes }) => requests === 0 && bytes === 0);
    }
  });
});

it('ends with the error of its source, where that fails', async () => {
  const source = new Readable({ read() {} });
  const { signal } = new AbortController();
  const reading = readDecompressed(source, 'gzip', { limit: MIB, signal }, buffer);
  source.push(gzipSync(PLAIN).subarray(0, 10));
  source.once('data', () => source.destroy(new Error('cut')));
  await expect(reading).rejects.toThrow('cut');
});

it('of 256 MiB out of some kilobytes costs the service no memory', async () => {
  const service = await startService({ env: { MAX_BODY_BYTES: String(BODY_LIMIT), THREADS: '1' } });
  try {
    const explode = async (coding: string, bomb: Buffer) => {
      const headers = { 'content-type': 'application/json', 'content-encoding': coding };
      const reply = await send(service.url + SDPA, { method: 'POST', headers, body: bomb });
      expectProblem(reply, 413, 'body_too_large', /1048576/);
    };
    for (const [coding, bomb] of bombs) {
      expect(bomb.length).toBeLessThan(MIB);
      // What a first request costs anyway is not looked at.
      for (let time = 0; time < 10; time++) await explode(coding, bomb);
      const before = kibibytes(service.pid, 'VmRSS');
      writeFileSync(`/proc/${service.pid}/clear_refs`, '5');
      await explode(coding, bomb);
      expect(kibibytes(service.pid, 'VmHWM') - before, coding).toBeLessThan(8 * 1024);
    }
    const { json } = await send(`${service.url}/v1/info`);
    expect(json.engine).toMatchObject({ requests: 0, bytes: 0 });
  } finally {
    await service.stop();
  }
});

/** A zstd frame of bytes that are to be passed over, of one of the sixteen kinds (RFC 8878, section 3.1.2). */
function skippable(length: number, kind = 0): Buffer {
  const frame = Buffer.alloc(8 + length, 'x');
  frame.writeUInt32LE(0x184d2a50 + kind, 0);
  frame.writeUInt32LE(length, 4);
  return frame;
}

/** A figure of /proc/…/status; `clear_refs` 5 sets the peak, VmHWM, to what is there at the moment. */
function kibibytes(pid: number, name: string): number {
  return Number(
    new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
  );
}

function expectProblem(reply: Reply, status: number, code: string, words: RegExp): void {
  expect(reply.json).toMatchObject({ status, code, detail: expect.stringMatching(words) });
  expect(reply.status).toBe(status);
}
