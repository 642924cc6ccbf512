import { afterAll, describe, expect, test } from 'vitest';
import type { Layer } from '../../src/contract/layer.ts';
import type { CallRequest } from '../../src/engine/engine.ts';
import { type Random, seeded } from '../support/random.ts';
import { pack, shared } from '../support/safetensors.ts';
import {
  asNew,
  keptAnswer,
  layerCall,
  type Outcome,
  outcomeBy,
  STORED_TYPES,
  startEngine,
  textOf,
  tokensOf,
  WAYS,
  type Way,
} from './layer-calls.ts';

/*
 * Which calls of layers are kept ready, and for whom: whatever is not the same call over other numbers is read anew.
 */

const WIDTH = 8;
const [STORED] = WAYS;
const AS_JSON: Way = { format: 'json', answerFormat: 'json' };

const { engine, layers } = await startEngine();
afterAll(() => engine.close());

function matrix(rows: number, columns: number, seed: number): number[][] {
  const random = seeded(seed);
  return Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));
}

function layerBody(seed: number, inner = WIDTH, width = WIDTH): object {
  const [w_q, w_k, w_v] = [0, 1, 2].map((part) => matrix(width, inner, 3 * seed + part));
  return { projections: { w_q, w_k, w_v } };
}

const tokens = (seed: number, rows = 5, width = WIDTH) => tokensOf({ embeddings: [rows, width] }, seed);

function fresh(request: CallRequest): Promise<Outcome> {
  return outcomeBy(engine, { ...request, layer: asNew(request.layer as Layer) });
}

/** The answer of a call that was prepared; null where it was not, and now may be. */
function kept(request: CallRequest): Outcome | null {
  const bytes = keptAnswer(engine, request);
  return bytes && { answer: textOf(bytes) };
}

/** Sends calls one after the other until each has come five times. Returns how many were answered as prepared ones. */
async function countKept(calls: readonly CallRequest[]): Promise<number> {
  const expected = await Promise.all(calls.map(fresh));
  let count = 0;
  for (let turn = 0; turn < 5; turn++) {
    for (const [index, call] of calls.entries()) {
      const answer = kept(call);
      if (answer !== null) {
        count++;
        expect(answer).toEqual(expected[index]);
      }
      expect(await outcomeBy(engine, call)).toEqual(expected[index]);
    }
  }
  return count;
}

const appliedOf = (outcome: Outcome | null) => {
  if (outcome === null || 'problem' in outcome) throw new Error('Not an answer.');
  return JSON.parse(outcome.answer).applied;
};

describe('layers do not answer for each other', () => {
  test('that share their content', async () => {
    const [one, other] = [await layers.put('one', layerBody(1)), await layers.put('other', layerBody(1))];
    expect(other.packed).toBe(one.packed);
    const calls = [one, other].map((layer) => layerCall(layer, AS_JSON, tokens(1)));
    expect(await countKept(calls)).toBeGreaterThan(0);
    for (const [index, { name, etag }] of [one, other].entries()) {
      expect(appliedOf(kept(calls[index])).layer).toEqual({ name, etag });
    }
  });

  test('that have had the same name', async () => {
    const before = await layers.put('changing', layerBody(1));
    const after = await layers.put('changing', layerBody(2));
    const calls = [before, after].map((layer) => layerCall(layer, AS_JSON, tokens(1)));
    expect(await countKept(calls)).toBeGreaterThan(0);
    expect(await fresh(calls[0])).not.toEqual(await fresh(calls[1]));
    for (const [index, { name, etag }] of [before, after].entries()) {
      expect(appliedOf(kept(calls[index])).layer).toEqual({ name, etag });
    }
  });

  test('that differ in their options alone', async () => {
    const plain = await layers.put('plain', layerBody(1));
    const causal = await layers.put('plain', { ...layerBody(1), causal: true });
    const calls = [plain, causal].map((layer) => layerCall(layer, STORED, tokens(1)));
    expect(await countKept(calls)).toBeGreaterThan(0);
    expect(await fresh(calls[0])).not.toEqual(await fresh(calls[1]));
  });
});

type Next = (random: Random) => number;
const bit: Next = (random) => random.below(2);
const normal: Next = (random) => random.normal();

/** Tensors that a call of five tokens may give besides them: dtype in a file, shape, elements. */
const OTHERS: Readonly<Record<string, readonly ['BOOL' | 'F32', readonly number[], Next]>> = {
  allow_mask: ['BOOL', [5, 5], bit],
  forbid_mask: ['BOOL', [5, 5], bit],
  key_valid: ['BOOL', [1, 5], bit],
  key_lengths: ['F32', [1], (random) => 1 + random.below(5)],
  bias: ['F32', [5, 5], normal],
  alibi_slopes: ['F32', [1], normal],
  sinks: ['F32', [1], normal],
  'rope.positions': ['F32', [1, 5], (random) => random.below(50)],
};

/** A call with one of these; its elements come from the seed, the tokens are always the same. */
function withTensor(layer: Layer, format: 'json' | 'safetensors', name: string, seed: number): CallRequest {
  const random = seeded(seed);
  const [dtype, shape, next] = OTHERS[name];
  const numbers = Array.from({ length: shape.reduce((a, b) => a * b) }, () => next(random));
  const { embeddings } = tokens(9);
  const rope = { pairing: 'half' };
  if (format === 'json') {
    const isMask = dtype === 'BOOL';
    const data = isMask ? numbers.map((number) => number === 1) : numbers;
    const tensor = { shape, data, dtype: isMask ? 'bool' : 'float32' };
    const [member, inner] = name.split('.');
    const given = inner === undefined ? { [member]: tensor } : { rope: { ...rope, [inner]: tensor } };
    const body = { embeddings: { shape: embeddings.shape, data: embeddings.numbers }, ...given };
    return { ...layerCall(layer, AS_JSON, tokens(9)), bytes: Buffer.from(JSON.stringify(body)) };
  }
  const bytes = dtype === 'BOOL' ? Uint8Array.from(numbers) : STORED_TYPES.F32(numbers);
  const file = {
    embeddings: { dtype: 'F32', shape: embeddings.shape, bytes: STORED_TYPES.F32(embeddings.numbers) },
    [name]: { dtype, shape, bytes },
  };
  const request = JSON.stringify(name.startsWith('rope') ? { rope } : {});
  return { ...layerCall(layer, STORED, tokens(9)), bytes: pack(file, { request }) };
}

describe('calls are read anew', () => {
  test.each(
    (['json', 'safetensors'] as const).flatMap((format) =>
      Object.keys(OTHERS).map((name) => [format, name] as const),
    ),
  )('that say in tensors how they are to be read: %s, %s', async (format, name) => {
    const layer = asNew(await layers.put('tensors', layerBody(3)));
    const calls = [1, 2, 3, 4, 5].map((seed) => withTensor(layer, format, name, seed));
    const answers = await Promise.all(calls.map(fresh));
    for (const answer of answers) expect(answer).toHaveProperty('answer');
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBeGreaterThan(1);
    expect(await countKept(calls)).toBe(0);
  });

  test('that come as inference requests with a timeout', async () => {
    const layer = asNew(await layers.put('inference', layerBody(3)));
    const way: Way = { format: 'kserve', answerFormat: 'kserve' };
    const calls = [1, 2].map((seed) => layerCall(layer, way, tokens(seed), { timeout: 20_000_000 }));
    expect(await countKept(calls)).toBe(0);
    const late = layerCall(layer, way, tokens(1), { timeout: 1 });
    for (let turn = 0; turn < 4; turn++) {
      expect(await outcomeBy(engine, late)).toMatchObject({ problem: { code: 'deadline_exceeded' } });
    }
  });

  test('that are not the same one with a tensor among the options of the file', async () => {
    const layer = asNew(await layers.put('within', layerBody(3)));
    const calls = [1, 2].map((seed) => {
      const { shape, numbers } = tokens(seed).embeddings;
      const request = JSON.stringify({ embeddings: { shape, data: numbers } });
      return { ...layerCall(layer, STORED, {}), bytes: pack({}, { request }) };
    });
    const [one, other] = await Promise.all(calls.map(fresh));
    expect(one).not.toEqual(other);
    await countKept(calls);
  });
});

test('a kept call never writes into the bodies that it was made of, nor reads them again', async () => {
  const layer = asNew(await layers.put('bodies', layerBody(3)));
  const call = (seed: number): CallRequest => {
    const request = layerCall(layer, STORED, tokens(seed));
    const length = Buffer.from(request.bytes).readBigUInt64LE();
    // Elements that are whole words from the beginning of the body on stay where they are.
    return { ...request, bytes: shared(spaced(request.bytes, 8 - Number(length % 8n))) };
  };
  const calls = [1, 2, 3].map(call);
  const before = calls.map(({ bytes }) => textOf(bytes));
  const expected = await fresh(calls[2]);
  expect(calls.map(kept)).toEqual([null, null, expected]);
  expect(calls.map(({ bytes }) => textOf(bytes))).toEqual(before);
  for (const { bytes } of calls.slice(0, 2)) bytes.fill(0xff);
  expect(kept(calls[2])).toEqual(expected);
});

/** A safetensors file with so many more spaces in its header. */
function spaced(file: Uint8Array, spaces: number): Uint8Array {
  const bytes = Buffer.concat([file.subarray(0, 9), Buffer.alloc(spaces, ' '), file.subarray(9)]);
  bytes.writeBigUInt64LE(bytes.readBigUInt64LE() + BigInt(spaces));
  return bytes;
}

describe('the memory of kept calls is bounded', () => {
  test('long headers are not kept', async () => {
    const layer = asNew(await layers.put('long', layerBody(3)));
    const call = layerCall(layer, STORED, tokens(1));
    expect(await countKept([{ ...call, bytes: spaced(call.bytes, 100) }])).toBeGreaterThan(0);
    expect(await countKept([{ ...call, bytes: spaced(call.bytes, 5000) }])).toBe(0);
  });

  test('tokens count', async () => {
    const layer = asNew(await layers.put('tall', layerBody(3, 1, 1024)));
    const call = (rows: number) => layerCall(layer, STORED, tokens(1, rows, 1024), { precision: 'float64' });
    expect(await countKept([call(20)])).toBeGreaterThan(0);
    // 4.5 MB of tokens, and a result of one number a token.
    expect(await countKept([call(550)])).toBe(0);
  });

  test('weights that a call has in a precision of its own count', async () => {
    const precise = { precision: 'float64' };
    const [small, large] = [
      await layers.put('s', layerBody(3)),
      await layers.put('l', layerBody(3, 512, 512)),
    ];
    expect(await countKept([layerCall(small, STORED, tokens(1), precise)])).toBeGreaterThan(0);
    // Three matrices of 2 MB.
    expect(await countKept([layerCall(large, STORED, tokens(1, 1, 512), precise)])).toBe(0);
  });

  test('many forms make each other forgotten, and every answer stays right', async () => {
    const layer = asNew(await layers.put('forms', layerBody(3)));
    const calls = Array.from({ length: 200 }, (_, form) => {
      return layerCall(layer, STORED, tokens(form % 7), { scale: 1 + form });
    });
    const expected = await Promise.all(calls.map(fresh));
    for (let turn = 0; turn < 3; turn++) {
      for (const call of calls) expect(kept(call)).toBeNull();
    }
    for (const call of calls.slice(0, 32)) for (let turn = 0; turn < 2; turn++) kept(call);
    const answers = calls.slice(0, 32).map(kept);
    expect(answers).toEqual(expected.slice(0, 32));
  });

  test('large forms of many layers make each other forgotten, and every answer stays right', async () => {
    const body = layerBody(3, 64, 64);
    // 0.4 MB each.
    const numbers = tokens(1, 1500, 64);
    const opened = await layers.put('room', { ...body, heads: 4 });
    const calls = Array.from({ length: 100 }, () => layerCall(asNew(opened), STORED, numbers));
    const expected = await fresh(calls[0]);
    for (const call of calls) for (let turn = 0; turn < 2; turn++) expect(kept(call)).toBeNull();
    const answers = calls.map(kept);
    const found = answers.filter((answer) => answer !== null);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThan(calls.length);
    for (const answer of found) expect(answer).toEqual(expected);
  });
});
