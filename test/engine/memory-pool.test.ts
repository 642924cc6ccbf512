import { expect, test } from 'vitest';
import { blockBytes, MemoryPool } from '../../src/engine/memory-pool.ts';

const MIB = 1024 * 1024;

test('a block goes from one user to the next, with what it holds', () => {
  const pool = new MemoryPool(10 * MIB);
  const block = pool.take(MIB);
  new Uint8Array(block)[5] = 7;
  pool.give(block);
  expect(pool.idleBytes).toBe(MIB);
  expect(pool.take(MIB - 1000)).toBe(block);
  expect(pool.idleBytes).toBe(0);
  expect(pool.take(MIB)).not.toBe(block);
});

test('no more than the bound is kept idle, and nothing small', () => {
  const pool = new MemoryPool(2 * MIB);
  for (const block of [MIB, MIB, MIB, 100].map((bytes) => pool.take(bytes))) pool.give(block);
  expect(pool.idleBytes).toBe(2 * MIB);
});

test('a block is at most a quarter larger than what was asked for', () => {
  for (let bytes = 1; bytes < 2 ** 40; bytes = Math.ceil(bytes * 1.37)) {
    const size = blockBytes(bytes);
    expect(size).toBeGreaterThanOrEqual(bytes);
    expect(size).toBeLessThanOrEqual(bytes * 1.25 + 1);
    expect(blockBytes(size)).toBe(size);
  }
});
