/** @file Sessions at the C API, used at random: wrong use is always an error of ours, and never ends the process. */

import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { floatTensor } from '../../../src/ir/index.js';
import { openSession } from '../../../src/runtime/session/open-session.js';
import { Session } from '../../../src/runtime/session/session.js';
import { sessionChoices } from '../../../src/runtime/session/session-choice.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { randomSource } from '../../helpers/random.js';
import { exchanging, fuzzSessions } from '../../helpers/session-fuzz.js';

const path = temporaryFolder();

const facts = {
  device: { target: 'cpu', index: 0 },
  threads: 1,
  optimization: 'disabled',
  memoryPattern: false,
} as const;
const session = await openSession({ ...facts, model: exchanging() });
const { api } = session.facts;
await session.close();

it.skipIf(api !== 'c')('right use gives right numbers, wrong use an error of ours', async () => {
  for (const seed of [1, 2, 3]) await fuzzSessions(1500, randomSource(`sessions ${seed}`));
});

const x = (rows: number) => floatTensor([rows, 4], new Float32Array(4 * rows).fill(1));
const labels = (rows: number) => ({ dtype: 'int64', shape: [rows], data: new BigInt64Array(rows) }) as const;
const updates = [
  { output: 'next.a', input: 'a' },
  { output: 'next.b', input: 'b' },
];

it('threads with a session each run at once, and are closed in mid-run', async () => {
  const model = path('exchanging.onnx');
  writeFileSync(model, exchanging());
  const sessions = await Promise.all([0, 1, 2].map(() => Session.open(model, sessionChoices.training, { threads: 1 })));
  const states = await Promise.all(
    sessions.map(async (each, index) => {
      await each.setState([
        ['a', floatTensor([4], [1, 2, 3, 4])],
        ['b', floatTensor([4], [0, 0, 0, 0])],
      ]);
      const rows = 1 + index;
      const run = () =>
        each.run({
          feeds: [
            ['x', x(rows)],
            ['labels', labels(rows)],
          ],
          results: ['sum'],
          updates,
        });
      const steps = Array.from({ length: 20 }, run);
      const state = each.getState();
      // Asked for while the steps are under way: it waits for them.
      const closing = each.close();
      const sums = await Promise.all(steps);
      await closing;
      await each.close();
      await expect(run()).rejects.toThrow(/closed already/);
      expect(sums.map((outputs) => outputs.get('sum')?.data[0])).toEqual(new Array(20).fill(rows));
      return (await state).get('a')?.data[0];
    }),
  );
  // a ← b + rows, b ← 2·a: after 20 steps a is what 10 doublings make of the first a, and of the rows.
  expect(states).toEqual([1, 2, 3].map((rows) => 2 ** 10 + rows * (2 ** 10 - 1)));
});
