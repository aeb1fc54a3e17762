/** @file Cases of the losses: plain, weighted and smoothed, with logits near 0 and far from it. */

import {
  absoluteError,
  binaryCrossEntropy,
  crossEntropy,
  huber,
  squaredError,
  Tensor,
} from '../../../src/builders/index.js';
import { around, type Case, differentiableCase } from './draft.js';

const crossEntropyCases = ([2, 5] as const).flatMap((classes) => [
  differentiableCase(`crossEntropy of ${classes} classes`, (draft) => {
    const logits = draft.parameter(['N', classes]);
    return draft.builder.emitAll('crossEntropy', [logits, draft.labels(classes)], {}).slice(0, 1);
  }),
  differentiableCase(`crossEntropy of ${classes} classes with logits of hundreds`, (draft) => {
    const logits = draft.given(['N', classes], around([3, classes], 200, 2));
    return draft.builder.emitAll('crossEntropy', [logits, draft.labels(classes)], {}).slice(0, 1);
  }),
]);

const classWeights = [0.5, 2, 1, 3];

const weightedCases = [{ classWeights }, { labelSmoothing: 0.1 }, { classWeights, labelSmoothing: 0.3 }].map(
  (options) =>
    // What a constant of float32 rounds.
    differentiableCase(
      `crossEntropy with ${Object.keys(options).join(' and ')}`,
      (draft) => {
        const logits = new Tensor(draft.builder, draft.parameter(['N', 4]));
        return crossEntropy(logits, logits.with(draft.labels(4)), options).value;
      },
      { exactness: 1e-6 },
    ),
);

const binaryCases = [{}, { positiveWeights: [2, 0.5, 3, 1.5] }].flatMap((options) =>
  ([1, 60] as const).map((size) =>
    differentiableCase(
      `binaryCrossEntropy of logits around ±${size}${'positiveWeights' in options ? ' with weights' : ''}`,
      (draft) => {
        const { builder } = draft;
        const logits = builder.emit('mul', [draft.parameter(['N', 4], 'away from zero'), builder.scalar(size)], {});
        const x = new Tensor(builder, logits);
        return binaryCrossEntropy(x, x.with(draft.targets(4)), options).value;
      },
    ),
  ),
);

const regressionCases = ([1, 3] as const).flatMap((values) =>
  (
    [
      ['squaredError', (a: Tensor, b: Tensor) => squaredError(a, b)],
      ['absoluteError', (a: Tensor, b: Tensor) => absoluteError(a, b)],
      ['huber', (a: Tensor, b: Tensor) => huber(a, b)],
      ['huber with delta 0.25', (a: Tensor, b: Tensor) => huber(a, b, { delta: 0.25 })],
    ] as const
  ).map(([name, loss]) =>
    differentiableCase(`${name} of ${values} values`, (draft) => {
      const predictions = new Tensor(draft.builder, draft.parameter(['N', values]));
      return loss(predictions, predictions.with(draft.batch(['N', values], 'targets'))).value;
    }),
  ),
);

export const lossCases: readonly Case[] = [...crossEntropyCases, ...weightedCases, ...binaryCases, ...regressionCases];
