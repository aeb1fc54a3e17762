/** @file Kills (-9) of random processes of a run of several, its launcher among them, at random moments. */

import { mkdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { hasMpi, ranksOf, untilGone } from '../helpers/mpi.js';
import { randomSource } from '../helpers/random.js';
import { expectSameEnd, expectWhole } from '../helpers/runs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const minutes = 60_000;
const kills = 20;

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 220, 40);
});

function start(save: string): string[] {
  return [
    ...['train', '--block-config', '2,2', '--growth-rate', '8', '--drop-rate', '0.1', '--epochs', '6', '--augment'],
    ...['--batch-size', '5', '--valid-size', '20', '--lr', '0.02', '--threads', '1', '--data-workers', '1'],
    ...['--checkpoint-every', '2', '--data', path('digits'), '--save', path(save), '--processes', '2', '--json'],
  ];
}

describe.skipIf(!hasMpi)('a run of two processes', () => {
  it(
    `ends in the same bits after ${kills} kills, and leaves no process behind`,
    async () => {
      const whole = await densec(start('whole'));
      expect(whole.code, whole.stderr).toBe(0);
      const random = randomSource('processes');
      const resume = ['train', '--resume', '--save', path('killed'), '--processes', '2', '--json'];
      let args = start('killed');
      for (let kill = 0; kill < kills; kill++) {
        let left = 1 + Math.floor(random() * 6);
        const wait = random() * 60;
        // Each of the two, or the command that started them.
        const victim = Math.floor(random() * 3);
        const result = await densec(args, {
          onStdout: (text, end) => {
            left -= text.split('\n').length - 1;
            if (left > 0) return;
            left = Number.POSITIVE_INFINITY;
            setTimeout(() => {
              const pid = victim < 2 ? ranksOf(path('killed'))[victim] : undefined;
              if (pid === undefined) end('SIGKILL');
              else process.kill(pid, 'SIGKILL');
            }, wait);
          },
        });
        expect([0, 1, null], result.stderr).toContain(result.code);
        await untilGone(path('killed'));
        await expectWhole(path('killed'));
        args = resume;
      }
      const end = await densec(resume);
      expect(end.code, end.stderr).toBe(0);
      await expectSameEnd(path('killed'), path('whole'));
    },
    20 * minutes,
  );
});
