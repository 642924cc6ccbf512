import Fastify from 'fastify';
import { afterAll, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { Engine } from '../../src/engine/engine.ts';
import { intake } from '../../src/http/plugins/intake.ts';

const TYPE = 'application/octet-stream';
const engine = new Engine({ threads: 1, limits: DEFAULT_LIMITS });
const app = Fastify();
app.decorate('lifecycle', { stopping: false } as never);
afterAll(async () => {
  await app.close();
  await engine.close();
});

app.register(async (scope) => {
  await scope.register(intake, { engine, limits: DEFAULT_LIMITS, mediaTypes: [TYPE] });
  for (const transientBody of [true, false]) {
    scope.post(transientBody ? '/passing' : '/kept', {
      config: { transientBody, tensorsBegin: ({ headers }) => Number(headers['x-begin']) },
      handler: async ({ body, headers }) => {
        const { byteOffset, length } = body as Uint8Array;
        const text = Buffer.from(body as Uint8Array).toString('latin1');
        return { misfit: (byteOffset + Number(headers['x-begin'])) % 8, length, text };
      },
    });
  }
});

/** Read on the event loop, and on memory that the pool hands out. */
const LENGTHS = [100, 50_000];
const urls = ['/passing', '/kept'];
const cases = urls.flatMap((url) => LENGTHS.map((length) => ({ url, length })));

test.each(cases)('$length bytes to $url lie as their tensors are to', async ({ url, length }) => {
  const payload = Buffer.alloc(length, 'abcdefg');
  for (let begin = 0; begin < 17; begin++) {
    const headers = { 'content-type': TYPE, 'x-begin': `${begin}` };
    const reply = await app.inject({ method: 'POST', url, headers, payload });
    expect(reply.json()).toEqual({ misfit: 0, length, text: payload.toString('latin1') });
  }
});
