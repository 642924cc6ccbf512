import { expect, test } from 'vitest';
import type { Answer } from '../../src/domain/answer.ts';
import { withEngine } from './support.ts';

const FIELDS = { query: 'real' } as const;
const OPTIONS = { encoding: 'nested' } as const;

function body(rows: number): { bytes: Uint8Array; values: number[] } {
  const values = Array.from({ length: rows * 8 }, (_, index) => (index % 97) / 8);
  const nested = Array.from({ length: rows }, (_, row) => values.slice(row * 8, row * 8 + 8));
  const text = new TextEncoder().encode(JSON.stringify({ query: nested, heads: 2 }));
  const bytes = new Uint8Array(new SharedArrayBuffer(text.length));
  bytes.set(text);
  return { bytes, values };
}

/** Few rows are read on the calling thread, many in a worker. */
test.each([2, 4096])('a body of %i rows is decoded onto shared memory', async (rows) => {
  await withEngine({ threads: 1 }, async (engine) => {
    const { bytes, values } = body(rows);
    const ticket = engine.admit(bytes.length);
    const { envelope, tensors } = await ticket.decode('json', bytes, FIELDS);
    expect(envelope).toEqual({ heads: 2 });
    expect(tensors.query).toEqual({ dtype: 'float32', shape: [rows, 8], data: Float32Array.from(values) });
    expect(tensors.query.data.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(engine.stats().bytes).toBe(bytes.length + tensors.query.data.byteLength);
    expect(ticket.timings.decodeMs).toBeGreaterThan(0);
    expect(ticket.timings.queueMs > 0).toBe(rows > 2);
    ticket.release();
  });
});

test.each([2, 4096])('an answer of %i rows is encoded, a long one into memory of the pool', async (rows) => {
  await withEngine({ threads: 1 }, async (engine) => {
    const data = new Float32Array(new SharedArrayBuffer(rows * 32)).map((_, index) => (index % 97) / 8);
    const answer: Answer = {
      tensors: { output: { dtype: 'float32', shape: [rows, 8], data } },
      envelope: { empty_rows: 0 },
    };
    const ticket = engine.admit(0);
    const { bytes } = await ticket.encode('json', answer, OPTIONS);
    const read = JSON.parse(new TextDecoder().decode(bytes));
    expect(read.output.flat()).toEqual([...data]);
    expect(read.empty_rows).toBe(0);
    expect(bytes.buffer).toBeInstanceOf(rows === 2 ? ArrayBuffer : SharedArrayBuffer);
    expect(ticket.timings.encodeMs).toBeGreaterThan(0);
    ticket.release();
  });
});

test('a problem is the same wherever it arises', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const problems = [];
    for (const padding of [0, 32 * 1024]) {
      const bytes = new TextEncoder().encode(`{"query": [[1, 2], [3, 1e39]]${' '.repeat(padding)}}`);
      const ticket = engine.admit(bytes.length);
      problems.push(await ticket.decode('json', bytes, FIELDS).catch((error) => error));
      ticket.release();
    }
    expect(problems[0]).toMatchObject({ name: 'Problem', status: 422, code: 'invalid_tensor' });
    expect(problems[1]).toEqual(problems[0]);
    expect(problems[1].errors).toEqual(problems[0].errors);
    expect(problems[0].errors[0].pointer).toContain('/query');
  });
});

test('decoded tensors that find no room are refused', async () => {
  const { bytes } = body(4096);
  await withEngine({ threads: 1, limits: { queueBytes: bytes.length + 1000 } }, async (engine) => {
    const ticket = engine.admit(bytes.length);
    await expect(ticket.decode('json', bytes, FIELDS)).rejects.toMatchObject({ code: 'over_capacity' });
    ticket.release();
    expect(engine.stats().bytes).toBe(0);
  });
});

test('a format that is not there is a mistake of the program', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    await expect(ticket.decode('papyrus', new Uint8Array(2), FIELDS)).rejects.toThrow('papyrus');
    ticket.release();
  });
});
