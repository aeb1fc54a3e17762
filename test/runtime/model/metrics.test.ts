/**
 * @file Metrics against values computed otherwise: areas by counting pairs, F1 and errors from their definitions, and
 * scikit-learn's example of roc_auc_score.
 */

import { describe, expect, it } from 'vitest';
import { type LossOptions, resolveLoss } from '../../../src/builders/losses/index.js';
import { floatTensor } from '../../../src/ir/index.js';
import { createBatch } from '../../../src/runtime/data/batches.js';
import { meters, namedOutputs, scores } from '../../../src/runtime/model/metrics/index.js';
import { areaUnderCurve } from '../../../src/runtime/model/metrics/labels.js';
import { Tally } from '../../../src/runtime/model/metrics/tally.js';
import { randomSource } from '../../helpers/random.js';

/** The share of pairs in the right order, equal ones counting half. */
function byPairs(logits: readonly number[], present: readonly number[]): number {
  let [pairs, right] = [0, 0];
  for (const [i, a] of logits.entries()) {
    for (const [j, b] of logits.entries()) {
      if (present[i] !== 1 || present[j] !== 0) continue;
      pairs++;
      right += a > b ? 1 : a === b ? 0.5 : 0;
    }
  }
  return right / pairs;
}

describe('the area under the curve', () => {
  it("is that of scikit-learn's example", () => {
    expect(areaUnderCurve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBe(0.75);
  });

  it.each([3, 10, 1000])('counts pairs, equal logits half, among %i different logits', (levels) => {
    const random = randomSource(`auc ${levels}`);
    const logits = Array.from({ length: 200 }, () => Math.floor(random() * levels) - levels / 2);
    const present = logits.map((logit) => (random() < 0.3 + (0.4 * logit) / levels ? 1 : 0));
    expect(areaUnderCurve(logits, present)).toBeCloseTo(byPairs(logits, present), 12);
  });

  it('is no number where a logit is none', () => {
    expect(areaUnderCurve([1, Number.NaN, 2], [1, 1, 0])).toBeNaN();
  });

  it('is none where there are no pairs', () => {
    expect(areaUnderCurve([1, 2], [1, 1])).toBeNull();
    expect(areaUnderCurve([1, 2], [0, 0])).toBeNull();
  });
});

describe('a meter', () => {
  it('of labels tells areas and F1 of each and their means, batch by batch or at once', () => {
    const outputs = [2, -1, -3, 1, 3, -2, -1, 4, 5, 1, -1, -2];
    const targets = [1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0];
    const whole = meters.labels(3);
    whole.add(Float32Array.from(outputs), targets);
    const parts = meters.labels(3);
    parts.add(Float32Array.from(outputs.slice(0, 3)), targets.slice(0, 3));
    parts.add(Float32Array.from(outputs.slice(3)), targets.slice(3));
    expect(parts.metrics()).toEqual(whole.metrics());
    const [first, second, third] = whole.metrics().outputs ?? [];
    // Label 0: logits 2, 1, −1, 1 and targets 1, 1, 1, 0; said 1, 1, 0, 1: two hits, one miss, one false alarm.
    expect(first).toEqual({ auc: byPairs([2, 1, -1, 1], [1, 1, 1, 0]), f1: 4 / 6, positives: 3 });
    // Label 1: logits −1, 3, 4, −1 and targets 0, 1, 0, 1.
    expect(second).toEqual({ auc: byPairs([-1, 3, 4, -1], [0, 1, 0, 1]), f1: 2 / 4, positives: 2 });
    // Label 2 is nowhere, though it is said once.
    expect(third).toEqual({ auc: null, f1: 0, positives: 0 });
    const [a, b] = [first?.auc as number, second?.auc as number];
    expect(whole.metrics().summary).toEqual({ meanAuc: (a + b) / 2, meanF1: expect.closeTo((4 / 6 + 2 / 4) / 3, 12) });
    expect(namedOutputs(whole.metrics().outputs ?? [], ['Mass']).map(({ name }) => name)).toEqual(['Mass', '1', '2']);
  });

  it('of values tells mean absolute and root mean squared errors', () => {
    const meter = meters.values(2);
    meter.add(Float32Array.of(1, 10, 2, 20), [0, 10, 5, 24]);
    meter.add(Float32Array.of(3, 30), [3, 29]);
    const { summary, outputs } = meter.metrics();
    expect(summary.mae).toBeCloseTo((1 + 0 + 3 + 4 + 0 + 1) / 6, 12);
    expect(summary.rmse).toBeCloseTo(Math.sqrt((1 + 0 + 9 + 16 + 0 + 1) / 6), 12);
    expect(outputs?.[1]).toEqual({ mae: expect.closeTo(5 / 3, 12), rmse: expect.closeTo(Math.sqrt(17 / 3), 12) });
    const single = meters.values(1);
    single.add(Float32Array.of(1.5), [1]);
    expect(single.metrics()).toEqual({ summary: { mae: 0.5, rmse: 0.5 } });
  });

  it('of classes tells how often five likelier ones come first', () => {
    const meter = meters.classes(6);
    // The class 5 is last; of equal logits the lower class comes first, as the largest logit is found.
    meter.add(Float32Array.of(5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0), [5n, 4n, 0n]);
    expect(meter.metrics().summary).toEqual({ top5Error: 1 / 3 });
    const few = meters.classes(5);
    few.add(new Float32Array(5), [4n]);
    expect(few.metrics().summary).toEqual({});
  });

  it('of classes counts logits that are no numbers as missed', () => {
    const meter = meters.classes(6);
    meter.add(new Float32Array(6).fill(Number.NaN), [0n]);
    expect(meter.metrics().summary).toEqual({ top5Error: 1 });
  });
});

describe('the best weights', () => {
  it('are those with the least error, the largest mean area or the least loss', () => {
    const evaluated = { loss: 3, error: 0.25, summary: { meanAuc: 0.9 } };
    expect(scores.classes.of(evaluated)).toBe(0.25);
    expect(scores.labels.of(evaluated)).toBeCloseTo(0.1, 12);
    expect(scores.labels.of({ loss: 3, error: 0.25 })).toBe(3);
    expect(scores.values.of(evaluated)).toBe(3);
  });
});

describe('a tally', () => {
  const images = (count: number): Float32Array => new Float32Array(count);
  const logits = (count: number, classes: number) => floatTensor([count, classes], new Float32Array(count * classes));

  it('weighs batches by their images', () => {
    const tally = new Tally({ loss: resolveLoss(), classes: 2 });
    tally.add(createBatch([1], images(3), [0, 1, 1]), { loss: 1, errors: 1, logits: logits(3, 2) });
    tally.add(createBatch([1], images(1), [0]), { loss: 5, errors: 1, logits: logits(1, 2) });
    const { confusion, ...figures } = tally.result();
    expect(figures).toEqual({ loss: 2, error: 0.5, count: 4, metrics: { summary: {} } });
    expect(confusion?.matrix()).toEqual([
      [2, 0],
      [2, 0],
    ]);
  });

  it('weighs batches by the weights of their classes, as if all images were one batch', () => {
    const loss: LossOptions = resolveLoss({ kind: 'cross-entropy', classWeights: [1, 4] });
    const tally = new Tally({ loss, classes: 2 });
    tally.add(createBatch([1], images(3), [0, 1, 1]), { loss: 1, errors: 1, logits: logits(3, 2) });
    tally.add(createBatch([1], images(1), [0]), { loss: 5, errors: 1, logits: logits(1, 2) });
    expect(tally.result().loss).toBe((9 * 1 + 1 * 5) / 10);
  });

  it('takes targets where there are some', () => {
    const tally = new Tally({ loss: resolveLoss('mse'), classes: 1 });
    const batch = createBatch([1], images(2), floatTensor([2, 1], [1, 2]));
    tally.add(batch, { loss: 2.5, errors: 3, logits: logits(2, 1) });
    expect(tally.result()).toEqual({
      ...{ loss: 2.5, error: 1.5, count: 2 },
      metrics: { summary: { mae: 1.5, rmse: Math.sqrt(2.5) } },
    });
  });
});
