/** @file The table of losses: options, what fits which network, graphs as text, and what a network may say itself. */

import { describe, expect, it } from 'vitest';
import {
  binaryCrossEntropy,
  crossEntropy,
  densenet,
  flatten,
  huber,
  type LossChoice,
  linear,
  type Network,
  reshape,
} from '../../src/builders/index.js';
import { describeLoss, lossDifference, lossSchema, resolveLoss } from '../../src/builders/losses/index.js';
import { compile, compileGraph } from '../../src/compile.js';
import { parseGraph, printGraph, RequestError } from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import { type Task, tasks } from '../../src/step/tasks.js';

/** A linear network. */
function network(classes: number, more: Partial<Network> = {}): Network {
  return {
    ...{ name: 'own', inputShape: [1, 2, 2], classes },
    forward: (images) => linear(flatten(images), { name: 'fc', features: classes }),
    ...more,
  };
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof RequestError) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

const wrong = <T>(value: unknown): T => value as T;

describe('a loss', () => {
  it.each<[LossChoice | undefined, object, string]>([
    [undefined, { kind: 'cross-entropy', labelSmoothing: 0 }, 'cross-entropy'],
    ['bce', { kind: 'bce' }, 'binary cross-entropy'],
    ['huber', { kind: 'huber', delta: 1 }, 'Huber loss, delta 1'],
    [
      { kind: 'cross-entropy', classWeights: [1, 2], labelSmoothing: 0.1 },
      { kind: 'cross-entropy', classWeights: [1, 2], labelSmoothing: 0.1 },
      'cross-entropy, class weights 1, 2, label smoothing 0.1',
    ],
  ])('%j has defaults and words, and survives a file', (choice, options, words) => {
    const resolved = resolveLoss(choice);
    expect(resolved).toEqual(options);
    expect(describeLoss(resolved)).toBe(words);
    expect(lossSchema.parse(JSON.parse(JSON.stringify(resolved)))).toEqual(options);
    expect(lossDifference(resolved, resolveLoss(choice))).toBeUndefined();
  });

  it('differs from another by its options', () => {
    const smoothed = resolveLoss({ kind: 'cross-entropy', labelSmoothing: 0.1 });
    expect(lossDifference(resolveLoss(), smoothed)).toBe(
      'cross-entropy, labelSmoothing 0, not cross-entropy, labelSmoothing 0.1',
    );
  });

  it.each<[unknown, RegExp]>([
    ['mae', /the loss is 'mae'; it must be cross-entropy, bce, mse, l1 or huber, or an object/],
    [{ kind: 'mae' }, /there is no loss 'mae'; choose one of cross-entropy, bce, mse, l1, huber/],
    [3, /the loss is 3; it must be/],
    [{ kind: 'bce', labelSmoothing: 0.1 }, /bce takes no --label-smoothing: it belongs to --loss cross-entropy/],
    [{ kind: 'huber', dleta: 1 }, /loss huber: there is no option dleta; it takes delta/],
    [{ kind: 'huber', delta: 0 }, /the delta is 0; it must be above 0/],
    [{ kind: 'cross-entropy', labelSmoothing: 1 }, /the label smoothing is 1; it must be at least 0 and below 1/],
    [{ kind: 'cross-entropy', classWeights: [1, 0] }, /the weight of class 1 is 0; it must be above 0/],
    [{ kind: 'cross-entropy', classWeights: [] }, /the class weights are none; give at least one number/],
    [{ kind: 'cross-entropy', classWeights: 'balanced' }, /the class weights is 'balanced'; it must be a list/],
    [
      { kind: 'bce', positiveWeights: [1, Number.NaN] },
      /the weights of positives is NaN; it must be a list of numbers/,
    ],
  ])('%j is refused', (choice, message) => {
    expect(refusal(() => resolveLoss(wrong(choice)))).toMatch(message);
  });

  it.each<[number, LossChoice, RegExp]>([
    [1, 'cross-entropy', /the network own: classes is 1; .*at least 2.*--loss bce, mse, l1 or huber/],
    [3, { kind: 'cross-entropy', classWeights: [1, 2] }, /there are 2 class weights for 3 classes; give one for each/],
    [3, { kind: 'bce', positiveWeights: [1] }, /there are 1 weights of positives for 3 labels/],
  ])('of %i outputs, %j is refused', (classes, loss, message) => {
    expect(refusal(() => compile(network(classes), { loss }))).toMatch(message);
  });

  it.each<[LossChoice, Task]>([
    ['cross-entropy', 'classes'],
    [{ kind: 'cross-entropy', classWeights: [1, 2, 3], labelSmoothing: 0.1 }, 'classes'],
    [{ kind: 'bce', positiveWeights: [1, 2, 3] }, 'labels'],
    ['mse', 'values'],
    ['l1', 'values'],
    [{ kind: 'huber', delta: 0.5 }, 'values'],
  ])('%j is part of the forward graph, which compiles from its text to the same bytes', (loss, task) => {
    const { input, dtype, shape } = tasks[task];
    const compiled = compile(network(3), { loss });
    const found = compiled.forward.inputs.find(({ name }) => name === input);
    expect(found?.value.type).toEqual({ dtype, shape: shape(3) });
    const again = compileGraph(parseGraph(printGraph(compiled.forward), 'forward.txt'), { loss });
    expect(encodeGraph(again.schedules.training)).toEqual(encodeGraph(compiled.schedules.training));
    expect(again.loss).toEqual(compiled.loss);
  });

  it('of a graph that is compiled without a word is the plain cross-entropy, or one of its own', () => {
    const lossOf = (loss: LossChoice): unknown => compileGraph(compile(network(3), { loss }).forward).loss;
    expect(lossOf('cross-entropy')).toEqual(resolveLoss());
    expect(lossOf({ kind: 'cross-entropy', labelSmoothing: 0.1 })).toEqual({ kind: 'own', task: 'classes' });
    expect(lossOf('mse')).toEqual({ kind: 'own', task: 'values' });
    const { forward } = compile(network(3), { loss: 'mse' });
    expect(refusal(() => compileGraph(forward, { loss: 'bce' }))).toMatch(
      /has targets for values, but bce is a loss of/,
    );
  });
});

describe('a network', () => {
  it('may name its loss, which compile may replace', () => {
    expect(compile(network(1, { loss: 'mse' })).loss).toEqual({ kind: 'mse' });
    expect(compile(network(1, { loss: 'mse' }), { loss: 'l1' }).loss).toEqual({ kind: 'l1' });
  });

  it('may have a function as its loss, of targets as its task has them', () => {
    const both = network(2, {
      task: 'values',
      loss: (outputs, targets) => huber(outputs, targets, { delta: 2 }),
    });
    expect(compile(both).loss).toEqual({ kind: 'own', task: 'values' });
    const labels = network(1, { task: 'labels', loss: (outputs, targets) => binaryCrossEntropy(outputs, targets) });
    expect(compile(labels).loss).toEqual({ kind: 'own', task: 'labels' });
    const smoothed = network(3, {
      loss: (outputs, targets) => crossEntropy(outputs, targets, { labelSmoothing: 0.1 }),
    });
    expect(compile(smoothed).loss).toEqual({ kind: 'own', task: 'classes' });
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      'a loss of its own and another one told',
      () => compile(network(2, { loss: crossEntropy }), { loss: 'bce' }),
      /the network own has a loss function of its own/,
    ],
    [
      'a task of another loss',
      () => compile(network(2, { loss: 'mse', task: 'labels' })),
      /task is 'labels', but the loss mse/,
    ],
    [
      'a task that there is none of',
      () => compile(network(2, wrong({ task: 'boxes' }))),
      /task is 'boxes'; it must be classes/,
    ],
    [
      'predictions and targets of two shapes',
      () =>
        compile(network(2, { task: 'values', loss: (outputs, targets) => huber(outputs, reshape(targets, ['2*N'])) })),
      /huber: the predictions have the shape \[N, 2\] and the targets \[2\*N\]; give a target for each/,
    ],
    [
      'one class',
      () => compile(densenet({ classes: 1, blockConfig: [1], growthRate: 2 })),
      /classes is 1; .*at least 2/,
    ],
  ])('with %s is refused', (_, action, message) => {
    expect(refusal(action)).toMatch(message);
  });

  it('of one output is fine for labels and values', () => {
    const options = { classes: 1, blockConfig: [1], growthRate: 2, imageSize: 8 };
    for (const loss of ['bce', 'mse', 'l1', 'huber'] as const) {
      expect(compile(densenet(options), { loss }).loss.kind).toBe(loss);
    }
  });
});

it('a task without its error does not compile', () => {
  const { values: _, ...others } = tasks;
  // @ts-expect-error The row of `values` is missing.
  const incomplete: typeof tasks = others;
  expect(Object.keys(incomplete)).not.toContain('values');
});
