import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compileWasm } from '../../../scripts/build-wasm.ts';
import { VARIANTS } from '../../../src/kernels/wasm/module.ts';

it.each(VARIANTS)(
  '%s.wasm is what the compiler makes of its source',
  { timeout: 60_000 },
  async (variant) => {
    const file = new URL(`../../../src/kernels/wasm/compiled/${variant}.wasm`, import.meta.url);
    const isCurrent = Buffer.compare(readFileSync(file), await compileWasm(variant)) === 0;
    expect(isCurrent, 'not up to date: npm run build:wasm').toBe(true);
  },
);
