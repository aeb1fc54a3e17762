/** @file Runs that clip gradients and average their weights: what is evaluated, kept and exported, and how they go on. */

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { openBundle } from '../../../src/runtime/bundle/bundle.js';
import { type ArrayDatasetOptions, arrayDataset } from '../../../src/runtime/data/arrays.js';
import type { Dataset } from '../../../src/runtime/data/dataset.js';
import { exportModel } from '../../../src/runtime/deploy/export.js';
import { EvaluationModel } from '../../../src/runtime/model/model.js';
import { loadInitialWeights } from '../../../src/runtime/model/weights.js';
import { evaluateBatches } from '../../../src/runtime/run/evaluation.js';
import type { StepEvent, TrainEvent } from '../../../src/runtime/run/events.js';
import { Trainer, type TrainerOptions } from '../../../src/runtime/run/trainer.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { expectSameEnd } from '../../helpers/runs.js';

const path = temporaryFolder();
const network = densenet({ blockConfig: [1], growthRate: 4, imageSize: 4, channels: 1, classes: 2, dropRate: 0.2 });
const optimizer = { clipNorm: 0.5, ema: 0.8, accumulate: 2 };
const options = { epochs: 3, batchSize: 8, learningRate: 0.05, validSize: 8 };

/** Images that are bright on one half or the other. */
function halves(change: Partial<ArrayDatasetOptions> = {}): Dataset {
  const labels = Array.from({ length: 40 }, (_, index) => index % 2);
  const images = Uint8Array.from(
    labels.flatMap((label, index) => Array.from({ length: 16 }, (_, at) => (at < 8 === (label === 0) ? 200 : index))),
  );
  const all = { images, labels };
  return arrayDataset({ name: 'halves', channels: 1, imageSize: 4, train: all, test: all, ...change });
}

function trainer(save: string, more: Partial<TrainerOptions> = {}): Trainer {
  return new Trainer(network, { save: path(save), threads: 1, seed: 3, optimizer, ...more });
}

async function all(events: AsyncGenerator<TrainEvent>): Promise<TrainEvent[]> {
  const list: TrainEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

let events: TrainEvent[];

beforeAll(async () => {
  events = await all(trainer('whole').train(halves(), options));
});

describe('a run that clips and averages', () => {
  it('tells the norm of each update, and its mean of each epoch', () => {
    const steps = events.filter((event): event is StepEvent => event.event === 'step');
    expect(steps.map(({ gradientNorm }) => gradientNorm !== undefined)).toEqual(
      Array(3).fill([false, true, false, true]).flat(),
    );
    const norms = steps.filter(({ epoch }) => epoch === 1).flatMap(({ gradientNorm }) => gradientNorm ?? []);
    const first = events.find((event) => event.event === 'epoch');
    expect(first?.gradientNorm).toBeCloseTo(((norms[0] ?? 0) + (norms[1] ?? 0)) / 2, 12);
  });

  it('keeps both in its checkpoint; evaluates, keeps as the best and exports the average', async () => {
    const run = trainer('whole');
    const { state: last } = await run.weights('last');
    const [name, average] = ['classifier.weight', last.get('ema.classifier.weight')];
    expect(last.get(name)?.data).not.toEqual(average?.data);
    expect(last.get('ema.features.norm_final.running_mean')?.data).not.toEqual(
      last.get('features.norm_final.running_mean')?.data,
    );
    const { state: best } = await run.weights();
    expect([...best.keys()].filter((key) => key.includes('ema'))).toEqual([]);
    const result = events.at(-1);
    if (result?.event === 'result' && result.bestEpoch === 3) expect(best.get(name)).toEqual(average);
    await exportModel(path('last.onnx'), network, last);
    const averaged = new Map([...last].map(([key, tensor]) => [key, last.get(`ema.${key}`) ?? tensor]));
    await exportModel(path('averaged.onnx'), network, averaged);
    const plain = new Map([...last].filter(([key]) => !key.startsWith('ema.')));
    await exportModel(path('plain.onnx'), network, plain);
    expect(readFileSync(path('last.onnx'))).toEqual(readFileSync(path('averaged.onnx')));
    expect(readFileSync(path('last.onnx'))).not.toEqual(readFileSync(path('plain.onnx')));
    const bundle = await openBundle(path('whole', 'bundle'));
    const images = {
      dtype: 'float32',
      shape: [2, 1, 4, 4],
      data: new Float32Array(32).map((_, at) => at / 32),
    } as const;
    const batch = { images, labels: { dtype: 'int64', shape: [2], data: BigInt64Array.of(0n, 1n) } as const };
    const losses = [];
    for (const state of [last, averaged, plain]) {
      const model = await EvaluationModel.open(bundle, state, { threads: 1 });
      losses.push((await evaluateBatches(model, [batch])).loss);
      await model.close();
    }
    expect(losses[0]).toBe(losses[1]);
    expect(losses[0]).not.toBe(losses[2]);
    const initial = await loadInitialWeights(path('whole', 'last.safetensors'), run.compiled.segments, 2, best);
    expect(initial.state.get(name)?.data).toEqual(average?.data);
  });

  it.each([1, 3, 6])('stopped after step %i, resumes to the same bits', async (step) => {
    const run = trainer(`stopped ${step}`);
    const abort = new AbortController();
    let steps = 0;
    for await (const event of run.train(halves(), { ...options, signal: abort.signal })) {
      if (event.event === 'step' && ++steps === step) abort.abort();
    }
    await all(trainer(`stopped ${step}`).resume(halves()));
    await expectSameEnd(path(`stopped ${step}`), path('whole'));
  });

  it('goes on with other limits and another decay, and tells so', async () => {
    await all(trainer('changed').train(halves(), options));
    const other = trainer('changed', { optimizer: { clipValue: 0.1, ema: 0.9, accumulate: 2 } });
    const [change] = await all(other.resume(halves(), { epochs: 4 }));
    const changes = 'clipNorm 0.5 → none, clipValue none → 0.1, ema 0.8 → 0.9';
    expect(change).toMatchObject({ event: 'change', changes: [`goes on with another lowering: ${changes}`] });
    expect(readFileSync(path('changed', 'report.html'), 'utf8')).toMatch(/clipNorm 0.5 → none/);
  });

  it('neither begins nor ends an average where it goes on', async () => {
    const none = trainer('whole', { optimizer: { accumulate: 2 } });
    await expect(all(none.resume(halves()))).rejects.toThrow(/the average of the weights \(ema\), which its best/);
    await all(trainer('none', { optimizer: {} }).train(halves(), { ...options, epochs: 1 }));
    const late = trainer('none', { optimizer: { ema: 0.9 } });
    await expect(all(late.resume(halves(), { epochs: 2 }))).rejects.toThrow(/kept from the first step on.*no state/);
  });
});
