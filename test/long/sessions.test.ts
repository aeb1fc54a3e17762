/** @file Sessions over a long time: used at random, and through 20,000 steps without growing. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import { randomBatch } from '../../src/runtime/measure/random-batch.js';
import { TrainingModel } from '../../src/runtime/model/model.js';
import { readState } from '../../src/runtime/model/state.js';
import { temporaryFolder } from '../helpers/cli.js';
import { randomSource } from '../helpers/random.js';
import { fuzzSessions } from '../helpers/session-fuzz.js';

const path = temporaryFolder();

it('a session used at random 300,000 times ends no process', async () => {
  for (let seed = 0; seed < 20; seed++) await fuzzSessions(15_000, randomSource(`long sessions ${seed}`));
}, 1_800_000);

/** What the process holds of memory, in bytes. */
function residentBytes(): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return 1024 * Number(kilobytes);
}

it.skipIf(process.platform !== 'linux')(
  '20,000 steps leave the process as large as it was',
  async () => {
    const network = densenet({ blockConfig: [1], growthRate: 4, imageSize: 8, channels: 1 });
    const bundle = await writeBundle(path('tiny'), network, compile(network));
    const model = await TrainingModel.open(bundle, await readState(bundle.initial, bundle), { threads: 1 });
    try {
      const batches = [4, 3].map((size) => randomBatch(bundle.manifest, size, 1));
      const sizes: number[] = [];
      for (let step = 0; step < 20_000; step++) {
        // A batch of another size now and then, as the last one of an epoch is.
        const batch = batches[step % 50 === 49 ? 1 : 0];
        if (batch) await model.step(batch, { learningRate: 1e-4, step, seed: 0 });
        if (step % 2000 === 1999) sizes.push(residentBytes());
      }
      console.log(`resident MB after each 2,000 steps: ${sizes.map((bytes) => (bytes / 1e6).toFixed(1)).join(' ')}`);
      const [, second = 0] = sizes;
      expect(Math.max(...sizes.slice(2)) - second).toBeLessThan(10e6);
    } finally {
      await model.close();
    }
  },
  600_000,
);
