/** @file Runs that end early, follow the validation loss or a schedule of one's own, and how they are resumed. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { arrayDataset } from '../../../src/runtime/data/arrays.js';
import type { Dataset } from '../../../src/runtime/data/dataset.js';
import { readProgress } from '../../../src/runtime/run/checkpoint.js';
import type { EpochEvent, TrainEvent } from '../../../src/runtime/run/events.js';
import type { ScheduleFunction } from '../../../src/runtime/run/learning-rate.js';
import { plateauRate } from '../../../src/runtime/run/plateau.js';
import { type RunOptions, Trainer } from '../../../src/runtime/run/trainer.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { randomSource } from '../../helpers/random.js';
import { expectSameEnd } from '../../helpers/runs.js';

const path = temporaryFolder();
const network = densenet({ blockConfig: [1], growthRate: 4, imageSize: 4, channels: 1, classes: 2 });

/** Images with labels of chance: the validation error doesn't fall for long. */
function chance(): Dataset {
  const random = randomSource('chance');
  const labels = Array.from({ length: 48 }, () => (random() < 0.5 ? 0 : 1));
  const all = { images: Uint8Array.from({ length: 48 * 16 }, () => Math.floor(random() * 256)), labels };
  return arrayDataset({ name: 'chance', channels: 1, imageSize: 4, train: all, test: all });
}

const trainer = (save: string): Trainer => new Trainer(network, { save: path(save), threads: 1, seed: 3 });

async function all(events: AsyncGenerator<TrainEvent>): Promise<TrainEvent[]> {
  const list: TrainEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

const epochsOf = (events: readonly TrainEvent[]): EpochEvent[] => events.filter((event) => event.event === 'epoch');

const base = { epochs: 12, batchSize: 8, learningRate: 0.05, validSize: 16 };
const plateau = { ...base, schedule: 'plateau', lrPatience: 0, lrFactor: 0.5 } as const;
const own: ScheduleFunction = ({ epoch, batch, batches, learningRate, epochs, records }) =>
  records.length === epoch ? (learningRate * (epochs - epoch - batch / batches)) / epochs : Number.NaN;

/** Trains and stops after a number of steps, then goes on to the end. */
async function stopAndResume(
  save: string,
  options: RunOptions,
  steps: number,
  again: Partial<RunOptions> = {},
): Promise<TrainEvent[]> {
  const abort = new AbortController();
  let done = 0;
  for await (const event of trainer(save).train(chance(), { ...options, signal: abort.signal })) {
    if (event.event === 'step' && ++done === steps) abort.abort();
  }
  return all(trainer(save).resume(chance(), again));
}

describe('patience', () => {
  const options = { ...base, epochs: 40, patience: 3 };

  it('ends a run so many epochs after its best, tests, and resumes to the same end', async () => {
    const events = await all(trainer('early').train(chance(), options));
    const epochs = epochsOf(events);
    const best = epochs.findLast((epoch) => epoch.best)?.epoch ?? 0;
    expect(epochs.length).toBe(best + 3);
    expect(epochs.length).toBeLessThan(40);
    expect(events.at(-1)).toMatchObject({ interrupted: false, stoppedEarly: true, bestEpoch: best, epochs: best + 3 });
    expect(events.at(-1)).toHaveProperty('testError');
    await stopAndResume('early again', options, 4 * epochs.length - 2);
    await expectSameEnd(path('early again'), path('early'));
    // Finished as it is, it has nothing to train; with more patience it goes on.
    expect(epochsOf(await all(trainer('early').resume(chance())))).toEqual([]);
    const more = await all(trainer('early').resume(chance(), { patience: 5, epochs: best + 5 }));
    expect(more[0]).toMatchObject({
      event: 'change',
      epoch: best + 4,
      changes: [expect.any(String), 'patience 3 → 5'],
    });
    expect(epochsOf(more).length).toBeGreaterThan(0);
  });

  it('and plateau need images held out', async () => {
    for (const watching of [{ patience: 2 }, { schedule: 'plateau' as const }]) {
      const run = trainer('blind').train(chance(), { ...base, ...watching, validSize: 0 });
      await expect(all(run)).rejects.toThrow(/watches the validation, and no images are held out/);
    }
  });
});

describe('plateau', () => {
  it('lowers the rate by the recorded losses, and is resumed to the same bits', async () => {
    const epochs = epochsOf(await all(trainer('plateau').train(chance(), plateau)));
    const losses = epochs.map(({ validLoss = Number.NaN }) => validLoss);
    const options = { learningRate: 0.05, lrFactor: 0.5, lrPatience: 0, lrMin: 0 };
    expect(epochs.map(({ learningRate }) => learningRate)).toEqual(
      epochs.map((_, epoch) => plateauRate(options, losses.slice(0, epoch))),
    );
    expect(epochs.at(-1)?.learningRate).toBeLessThan(0.05);
    await stopAndResume('plateau again', plateau, 30);
    await expectSameEnd(path('plateau again'), path('plateau'));
  });

  it('keeps where it is when a run gets more epochs, and begins anew with another rate', async () => {
    await all(trainer('longer').train(chance(), { ...plateau, epochs: 8 }));
    const longer = await all(trainer('longer').resume(chance(), { epochs: 12 }));
    await expectSameEnd(path('longer'), path('plateau'));
    expect(longer[0]).toMatchObject({ event: 'change', learningRate: epochsOf(longer)[0]?.learningRate });
    const other = epochsOf(await all(trainer('longer').resume(chance(), { epochs: 14, learningRate: 0.03 })));
    expect(other[0]?.learningRate).toBe(0.03);
  });
});

describe("a schedule of one's own", () => {
  it('gives the rate of each step, and is given again to resume to the same bits', async () => {
    const options = { ...base, epochs: 4, schedule: own };
    const events = await all(trainer('own').train(chance(), options));
    const rates = events.flatMap((event) => (event.event === 'step' ? [event.learningRate] : []));
    expect(rates).toEqual(Array.from({ length: 16 }, (_, step) => (0.05 * (4 - step / 4)) / 4));
    expect((await readProgress(path('own'))).options.schedule).toBe('own');
    await stopAndResume('own again', options, 7, { schedule: own });
    await expectSameEnd(path('own again'), path('own'));
  });

  it('is missed, and refused where it is another one for what is past', async () => {
    const options = { ...base, epochs: 3, schedule: own };
    await expect(stopAndResume('missed', options, 6)).rejects.toThrow(/follows a schedule of its program; resume it/);
    const other = trainer('missed').resume(chance(), { schedule: () => 0.01 });
    await expect(all(other)).rejects.toThrow(/gives 0.01 at the end of epoch 1, where the run had 0\.0\d+/);
    await all(trainer('missed').resume(chance(), { schedule: own }));
  });

  it('gives way to a named one between two epochs', async () => {
    const options = { ...base, epochs: 2, schedule: own };
    await all(trainer('named').train(chance(), options));
    const events = await all(trainer('named').resume(chance(), { epochs: 3, schedule: 'constant' }));
    expect(events[0]).toMatchObject({ changes: ['number of epochs 2 → 3', 'schedule own → constant'] });
    expect(epochsOf(events)[0]?.learningRate).toBe(0.05);
  });

  it.each([Number.NaN, -1, '0.1'])('is refused where it gives %j', async (rate) => {
    const schedule = (() => rate) as unknown as ScheduleFunction;
    const run = trainer(`wrong ${rate}`).train(chance(), { ...base, schedule });
    await expect(all(run)).rejects.toThrow(/the schedule gives .* for batch 0 of epoch 0/);
  });
});
