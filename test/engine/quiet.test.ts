import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { CallRequest, Engine } from '../../src/engine/engine.ts';
import { HeldLoop } from '../../src/engine/held-loop.ts';
import { makeCall } from '../support/calls.ts';
import { seeded } from '../support/random.ts';
import { f32, pack, shared } from '../support/safetensors.ts';
import { computeHere, withEngine } from './support.ts';

/** Waits until the event loop has had nothing to do. */
async function rest(): Promise<void> {
  const { idleTime } = performance.nodeTiming;
  do await sleep(2);
  while (performance.nodeTiming.idleTime - idleTime < 1);
}

/** Requests that come one at a time before one is taken for the only one that will. */
const FIRST = 4;

test('the loop is quiet once some requests have come one at a time, until two are there', () => {
  const loop = new HeldLoop(() => performance.nodeTiming.idleTime);
  for (let turn = 0; turn < FIRST; turn++) expect(loop.isQuiet(1)).toBe(false);
  expect(loop.isQuiet(1)).toBe(true);
  expect(loop.isQuiet(2)).toBe(false);
  for (let turn = 0; turn < FIRST; turn++) expect(loop.isQuiet(1)).toBe(false);
  expect(loop.isQuiet(1)).toBe(true);
});

test('what may have come while the loop was held is not alone', async () => {
  const loop = new HeldLoop(() => performance.nodeTiming.idleTime);
  for (let turn = 0; turn < FIRST; turn++) loop.isQuiet(1);
  expect(loop.hold(() => 'held')).toBe('held');
  expect(loop.isQuiet(1)).toBe(false);
  await rest();
  expect(loop.isQuiet(1)).toBe(true);
  expect(() =>
    loop.hold(() => {
      throw new Error('held');
    }),
  ).toThrow('held');
  expect(loop.isQuiet(1)).toBe(false);
});

test('who had to wait for what the loop was held for is still alone', () => {
  // The loop has never been idle.
  const loop = new HeldLoop(() => 0);
  const [one, other] = [{}, {}];
  const turn = (caller: object | undefined) => {
    loop.came(caller);
    const isQuiet = loop.isQuiet(1);
    loop.hold(() => {});
    return isQuiet;
  };
  const turns = (count: number, caller: object | undefined) =>
    Array.from({ length: count }, () => turn(caller));
  expect(turns(FIRST + 2, one)).toEqual([...Array(FIRST).fill(false), true, true]);
  expect(turn(other)).toBe(false);
  expect(turns(2, other)).toEqual([true, true]);
  // What another sends that is not for the loop counts as well.
  loop.came(one);
  expect(turn(other)).toBe(false);
  expect(turns(FIRST + 2, undefined)).toEqual(Array(FIRST + 2).fill(false));
});

const HEADS = 4;
const HEAD_SIZE = 16;

/** So many tokens that their attention takes some tenths of a millisecond on this machine. */
function someTokens(engine: Engine): number {
  for (let tokens = 16; ; tokens += 16) {
    const call = makeCall({
      precision: 'float32',
      heads: HEADS,
      queries: tokens,
      newKeys: tokens,
      headSize: HEAD_SIZE,
    });
    const kernel = engine.kernelOf(call);
    const times = Array.from({ length: 20 }, () => {
      const start = performance.now();
      computeHere(kernel, call);
      return performance.now() - start;
    });
    if (Math.min(...times) > 0.3) return tokens;
  }
}

function request(tokens: number, extra: object = {}): CallRequest {
  const random = seeded(1);
  const width = HEADS * HEAD_SIZE;
  const tensor = () =>
    f32(
      [tokens, width],
      Array.from({ length: tokens * width }, () => random.normal()),
    );
  const file = pack(
    { query: tensor(), key: tensor(), value: tensor() },
    { request: JSON.stringify({ heads: HEADS, ...extra }) },
  );
  return {
    operation: 'scaled_dot_product_attention',
    format: 'safetensors',
    bytes: shared(file),
    answerFormat: 'safetensors',
  };
}

/** The answer, and whether a worker had a part in it. */
async function called(engine: Engine, call: CallRequest): Promise<{ answer: string; isFromWorker: boolean }> {
  const ticket = engine.admit(call.bytes.length);
  try {
    const { bytes } = await ticket.call(call);
    return { answer: Buffer.from(bytes).toString('latin1'), isFromWorker: ticket.timings.queueMs > 0 };
  } finally {
    ticket.release();
  }
}

test.each([1, 2])('calls that come one at a time need no worker, with %i threads', async (threads) => {
  await withEngine({ threads }, async (engine) => {
    const call = request(someTokens(engine));
    const alone: { answer: string; isFromWorker: boolean }[] = [];
    for (let turn = 0; turn < 30; turn++) {
      alone.push(await called(engine, call));
      await rest();
    }
    expect(alone[0].isFromWorker).toBe(true);
    expect(alone.slice(-10).filter(({ isFromWorker }) => isFromWorker)).toEqual([]);
    const together = await Promise.all([called(engine, call), called(engine, call), called(engine, call)]);
    expect(together.slice(1).map(({ isFromWorker }) => isFromWorker)).toEqual([true, true]);
    expect(new Set([...alone, ...together].map(({ answer }) => answer)).size).toBe(1);
  });
});

test('calls in two halves, as sessions make them, need no worker either', async () => {
  await withEngine({ threads: 2 }, async (engine) => {
    const call = request(someTokens(engine));
    const fromWorker: boolean[] = [];
    for (let turn = 0; turn < 30; turn++) {
      await rest();
      const ticket = engine.admit(call.bytes.length);
      await ticket.answer(await ticket.read(call), call.answerFormat);
      fromWorker.push(ticket.timings.queueMs > 0);
      ticket.release();
    }
    expect(fromWorker[0]).toBe(true);
    expect(fromWorker.slice(-10)).toEqual(Array(10).fill(false));
  });
});

test('an answer that takes long to write is a worker’s even so', async () => {
  await withEngine({ threads: 2 }, async (engine) => {
    const body = request(someTokens(engine), { heads: 8, return: { weights: true } });
    const call: CallRequest = { ...body, answerFormat: 'json' };
    let last = await called(engine, call);
    for (let turn = 0; turn < 12; turn++) {
      await rest();
      last = await called(engine, call);
    }
    expect(last.isFromWorker).toBe(true);
  });
});
