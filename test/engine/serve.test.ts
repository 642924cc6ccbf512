import { expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import type { RequestItem } from '../../src/engine/item.ts';
import { choiceOf } from '../../src/engine/kernel-choice.ts';
import { serve } from '../../src/engine/serve.ts';
import { seeded } from '../support/random.ts';
import { f32, pack, shared } from '../support/safetensors.ts';

const TOKENS = 64;
const WIDTH = 32;

/** A call that a worker has read, and may answer if that takes the usual kernel no longer than `mostMs`. */
function item(precision: string, mostMs: number): RequestItem {
  const random = seeded(1);
  const tensor = () =>
    f32(
      [TOKENS, WIDTH],
      Array.from({ length: TOKENS * WIDTH }, () => random.normal()),
    );
  const body = pack(
    { query: tensor(), key: tensor(), value: tensor() },
    { request: JSON.stringify({ precision }) },
  );
  return {
    kind: 'request',
    request: {
      operation: 'scaled_dot_product_attention',
      format: 'safetensors',
      bytes: shared(body),
      answerFormat: 'safetensors',
    },
    limits: DEFAULT_LIMITS,
    kernel: null,
    mostFlops: mostMs * choiceOf(null).usual.flopsPerMs,
    idleThreads: 0,
  };
}

/** Float64 is for the reference: tens of times as long for the same arithmetic, which others could share. */
test('a worker answers what it has read where that is quick for the kernel that computes it', () => {
  expect(serve(item('float32', 1)).kind).toBe('answered');
  expect(serve(item('float64', 1e4)).kind).toBe('answered');
  expect(serve(item('float32', 0.1)).kind).toBe('answered');
  expect(serve(item('float64', 0.1)).kind).toBe('read');
});
