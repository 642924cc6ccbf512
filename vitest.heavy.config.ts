import { defineConfig } from 'vitest/config';
import { HEAVY_SUITES } from './vitest.config.ts';

export default defineConfig({
  test: {
    include: HEAVY_SUITES,
    // One file at a time: these suites measure, kill and listen.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: ['verbose'],
  },
});
