import { expect, test } from 'vitest';
import type { CallRequest, Engine } from '../../src/engine/engine.ts';
import { seeded } from '../support/random.ts';
import { withEngine } from './support.ts';

/** A body of scaled dot-product attention: from some bytes to some hundred kilobytes. */
function request(tokens: number, width: number, extra: object = {}): CallRequest {
  const random = seeded(tokens);
  const matrix = () =>
    Array.from({ length: tokens }, () => Array.from({ length: width }, () => random.normal()));
  const body = { query: matrix(), key: matrix(), value: matrix(), heads: 2, ...extra };
  const text = new TextEncoder().encode(JSON.stringify(body));
  const bytes = new Uint8Array(new SharedArrayBuffer(text.length));
  bytes.set(text);
  return { operation: 'scaled_dot_product_attention', format: 'json', bytes, answerFormat: 'json' };
}

async function answerOf(engine: Engine, call: CallRequest): Promise<string> {
  const ticket = engine.admit(call.bytes.length);
  try {
    return new TextDecoder().decode((await ticket.call(call)).bytes);
  } finally {
    ticket.release();
  }
}

/**
 * Nothing is known of a kernel's speed at first, so the first calls go to a worker whatever their size; later small
 * ones are computed where they were read. With one worker that worker does all of a request, with two they share the
 * arithmetic.
 */
test.each([
  ['tiny', 4, 8],
  ['small', 64, 32],
  ['middling', 256, 64],
] as const)('a %s call has the same answer by every way through the engine', async (_, tokens, width) => {
  const call = request(tokens, width, { return: { weights: true, log_sum_exp: true }, causal: true });
  const answers = new Set<string>();
  for (const threads of [1, 2]) {
    await withEngine({ threads }, async (engine) => {
      for (let turn = 0; turn < 12; turn++) answers.add(await answerOf(engine, call));
      const busy = Array.from({ length: 6 }, () => answerOf(engine, call));
      for (const answer of await Promise.all(busy)) answers.add(answer);
      expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0 });
    });
  }
  expect(answers.size).toBe(1);
});

test('a small call goes to the workers until its kernel is known to be fast, and then stays here', async () => {
  await withEngine({ threads: 1, kernel: 'portable' }, async (engine) => {
    const call = request(2, 4);
    let atWorkers = 0;
    for (let turn = 0; turn < 50; turn++) {
      const before = engine.stats().tilesComputed;
      await answerOf(engine, call);
      if (engine.stats().tilesComputed > before) atWorkers++;
    }
    expect(atWorkers).toBeLessThan(50);
  });
});

test.each([
  ['malformed_body', 8, (text: string) => text.slice(0, -1)],
  ['malformed_body', 256, (text: string) => text.slice(0, -1)],
  ['invalid_request', 8, (text: string) => text.replace('"heads"', '"haeds"')],
  ['invalid_request', 256, (text: string) => text.replace('"heads"', '"haeds"')],
  ['shape_mismatch', 8, (text: string) => text.replace('"heads":2', '"heads":3')],
  ['shape_mismatch', 256, (text: string) => text.replace('"heads":2', '"heads":3')],
] as const)('%s with %i tokens', async (code, tokens, damage) => {
  await withEngine({ threads: 1 }, async (engine) => {
    const whole = request(tokens, 32);
    const bytes = new TextEncoder().encode(damage(new TextDecoder().decode(new Uint8Array(whole.bytes))));
    await expect(answerOf(engine, { ...whole, bytes })).rejects.toMatchObject({ name: 'Problem', code });
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0 });
  });
});
