import { expect, test } from 'vitest';
import type { Engine, Ticket } from '../../src/engine/engine.ts';
import { pack } from '../support/safetensors.ts';
import { withEngine } from './support.ts';

const OPERATION = 'scaled_dot_product_attention';
const ROW = { dtype: 'F32', shape: [1, 2] } as const;

/** One query that sees one key: the output is the value. */
function bodyOf(format: 'json' | 'safetensors', value: number): Uint8Array {
  const rows = { query: [1, 2], key: [3, 4], value: [value, -value] };
  if (format === 'json') {
    const nested = Object.entries(rows).map(([name, row]) => [name, [row]]);
    return Buffer.from(JSON.stringify({ ...Object.fromEntries(nested), return: { weights: true } }));
  }
  const tensors = Object.entries(rows).map(([name, row]) => {
    return [name, { ...ROW, bytes: new Uint8Array(Float32Array.from(row).buffer) }] as const;
  });
  return pack(Object.fromEntries(tensors), { request: '{}' });
}

/** Sends a body as the service does: into the memory that the engine has for it. */
async function send(engine: Engine, format: 'json' | 'safetensors', value: number) {
  const body = bodyOf(format, value);
  const ticket: Ticket = engine.admit(body.length);
  const bytes = ticket.takeBody(body.length, body.length);
  bytes.set(body);
  const answer = await ticket.call({ operation: OPERATION, format, bytes, answerFormat: 'json' });
  return { ticket, block: bytes.buffer, answer: answer.bytes };
}

const outputOf = (answer: Uint8Array) => JSON.parse(Buffer.from(answer).toString()).output;

test.each(['json', 'safetensors'] as const)(
  'a small body, what is made of it and its answer lie in one block, which then the next one gets: %s',
  async (format) => {
    await withEngine({ threads: 1 }, async (engine) => {
      let before: ArrayBufferLike | null = null;
      // Until its kernel is known to be fast it goes to the workers.
      for (let turn = 0, inARow = 0; inARow < 5; turn++) {
        expect(turn).toBeLessThan(1000);
        const { ticket, block, answer } = await send(engine, format, turn);
        expect(outputOf(answer)).toEqual([[turn, turn === 0 ? 0 : -turn]]);
        inARow = answer.buffer === block && block === before ? inARow + 1 : 0;
        before = block;
        ticket.release();
      }
      expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0 });
    });
  },
);

test('those that are under way at the same time have blocks of their own', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const values = Array.from({ length: 50 }, (_, index) => index + 1);
    const formats = ['json', 'safetensors'] as const;
    const sent = await Promise.all(values.map((value) => send(engine, formats[value % 2], value)));
    expect(new Set(sent.map(({ block }) => block)).size).toBe(values.length);
    for (const [index, { answer }] of sent.entries())
      expect(outputOf(answer)).toEqual([[values[index], -values[index]]]);
    for (const { ticket } of sent) ticket.release();
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0 });
  });
});
