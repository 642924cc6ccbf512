import { defineConfig } from 'vitest/config';

/** Suites that need minutes, other programs or the machine to themselves: `npm run test:heavy`. */
export const HEAVY_SUITES = ['test/e2e/**/*.test.ts', 'test/fuzz/**/*.test.ts', 'test/soak/**/*.test.ts'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: HEAVY_SUITES,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
