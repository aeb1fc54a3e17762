/** @file Errors by class and the confusion matrix, in the report and in the table of epochs for programs. */

import { describe, expect, it } from 'vitest';
import { Confusion, worstFirst } from '../../../src/runtime/model/metrics/confusion.js';
import { renderClasses } from '../../../src/runtime/report/classes.js';
import { formatMetrics } from '../../../src/runtime/report/history.js';

/** Of class k, `right` images are known and k % 3 are taken for the next class. */
function confusionOf(classes: number, right = 2): Confusion {
  const confusion = new Confusion(classes);
  for (let label = 0; label < classes; label++) {
    for (let image = 0; image < right; image++) confusion.add(label, label);
    for (let image = 0; image < label % 3; image++) confusion.add(label, (label + 1) % classes);
  }
  return confusion;
}

describe('a confusion', () => {
  it('counts by class and by pair', () => {
    const confusion = confusionOf(3);
    expect(confusion.matrix()).toEqual([
      [2, 0, 0],
      [0, 2, 1],
      [2, 0, 2],
    ]);
    expect(confusion.byClass()).toEqual([
      { class: 0, count: 2, errors: 0 },
      { class: 1, count: 3, errors: 1 },
      { class: 2, count: 4, errors: 2 },
    ]);
    expect(confusion.pairs()).toEqual([
      { class: 2, takenFor: 0, count: 2 },
      { class: 1, takenFor: 2, count: 1 },
    ]);
    expect(worstFirst([...confusion.byClass(), { class: 9, count: 0, errors: 0 }]).map((each) => each.class)).toEqual([
      2, 1, 0,
    ]);
  });

  it('of few classes is a matrix in the report, with names that are escaped', () => {
    const html = renderClasses(confusionOf(3), ['cat & dog', 'owl', 'fox']);
    expect(html).toContain(
      '<td class="wrong" style="--share:0.500" title="fox taken for cat &amp; dog: 2 of 4">2</td>',
    );
    expect(html.match(/class="right"/g)).toHaveLength(3);
    expect(html).toContain('<tr><td>fox</td><td>4</td><td>2</td><td>50.00 %</td></tr>');
  });

  it('of 1000 classes is the worst classes and the most confused pairs', () => {
    const html = renderClasses(confusionOf(1000));
    expect(html).not.toContain('class="confusion"');
    expect(html).toContain('Most confused, of 666 pairs');
    expect(html).toContain('<summary>All 1000 classes</summary>');
    expect(html.length).toBeLessThan(200_000);
  });

  it('without errors says so', () => {
    const confusion = new Confusion(2);
    confusion.add(1, 1);
    expect(renderClasses(confusion)).toContain('No class was taken for another.');
    expect(renderClasses(confusion)).toContain('<tr><td>0</td><td>0</td><td>0</td><td>–</td></tr>');
  });
});

it('metrics.csv has a row an epoch, plain numbers, and nothing where nothing is known', () => {
  const epochs = [
    { epoch: 1, learningRate: 0.1, trainLoss: 1.25, trainError: 0.5, validLoss: 1 / 3, validError: 0.25, seconds: 2 },
    { epoch: 2, learningRate: 1e-7, trainLoss: 1, trainError: 0.5, gradientNorm: 3.5, seconds: 2 },
  ];
  expect(formatMetrics({ epochs }).split('\n')).toEqual([
    'epoch,learning_rate,train_loss,train_error,valid_loss,valid_error,gradient_norm,seconds',
    '1,0.1,1.25,0.5,0.3333333333333333,0.25,,2',
    '2,1e-7,1,0.5,,,3.5,2',
    '',
  ]);
});
