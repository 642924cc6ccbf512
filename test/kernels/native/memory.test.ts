import { describe, expect, it } from 'vitest';
import type { Plan } from '../../../src/kernels/kernel.ts';
import { allocate, allocateLines, planBytes } from '../../../src/kernels/memory.ts';
import { loadAddon } from '../../../src/kernels/native/addon.ts';

const loaded = loadAddon();

const PLAN: Plan = {
  stages: [],
  buffers: {
    first: { type: 'float32', elements: 3 },
    second: { type: 'float64', elements: 17 },
    third: { type: 'int32', elements: 5 },
  },
};

describe.skipIf(!('addon' in loaded))('memory begins with a line', () => {
  const placeOf = ({ buffer, byteOffset }: ArrayBufferView) => {
    if (!('addon' in loaded)) throw new Error(loaded.reason);
    return loaded.addon.placeInLine(new Uint8Array(buffer, byteOffset));
  };

  it('for every buffer of a plan, wherever the block begins, and within it', () => {
    for (const spare of [0, 8, 1000, 40_000]) {
      const block = new SharedArrayBuffer(planBytes(PLAN) + spare);
      const memory = allocate(PLAN, block);
      expect(Object.values(memory).map(({ length }) => length)).toEqual([3, 17, 5]);
      for (const buffer of Object.values(memory)) expect(placeOf(buffer)).toBe(0);
    }
  });

  it('for what is kept', () => {
    for (const count of [0, 1, 1000]) {
      for (const precision of ['float32', 'float64', 'bfloat16'] as const) {
        const numbers = allocateLines(precision, count);
        expect(numbers).toHaveLength(count);
        expect(numbers.BYTES_PER_ELEMENT).toBe(precision === 'float64' ? 8 : 4);
        expect(placeOf(numbers)).toBe(0);
      }
    }
  });
});
