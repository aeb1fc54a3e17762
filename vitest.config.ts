/** @file The tests: which run, how long each may take, and with how many processes. */

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: process.env.DENSEC_LONG ? [] : ['test/long/**'],
    // Runs block their thread; processes of their own keep tests apart, and two leave the sessions a core each.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
