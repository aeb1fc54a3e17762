/** @file The table of metrics: what each task measures beside loss and error, in what words, and which weights are best by. */

import type { Task } from '../../../step/tasks.js';
import { ClassMeter } from './classes.js';
import type { Meter, Metrics, OutputFigures } from './definition.js';
import { LabelMeter } from './labels.js';
import { ValueMeter } from './values.js';

export type { Meter, Metrics, OutputFigures } from './definition.js';

/** A meter of each task, for so many outputs. */
export const meters: Readonly<Record<Task, (outputs: number) => Meter>> = {
  classes: (classes) => new ClassMeter(classes),
  labels: (labels) => new LabelMeter(labels),
  values: (values) => new ValueMeter(values),
};

/** The figures of a label or value, with its name. */
export type NamedFigures = { readonly name: string } & Readonly<Record<string, number | string | null>>;

/** Figures with the names of what they are of, or its number where there is no name. */
export function namedOutputs(
  outputs: readonly OutputFigures[],
  names: readonly string[] | undefined,
): readonly NamedFigures[] {
  return outputs.map((figures, output) => ({ name: names?.[output] ?? String(output), ...figures }));
}

/** What an evaluation comes to. */
interface Evaluated {
  readonly loss: number;
  readonly error: number;
  readonly summary?: Metrics['summary'] | undefined;
}

/** By what weights are best: the less of it, the better. */
interface Score {
  /** In words, as it is shown; `higher` where the figure itself is better the higher it is. */
  readonly name: string;
  of(evaluated: Evaluated): number;
}

/**
 * What the best weights are chosen by: the share of misclassified images; the mean area under the curve (where no label
 * has images with and without it, the loss); a regression's loss.
 */
export const scores: Readonly<Record<Task, Score>> = {
  classes: { name: 'error', of: ({ error }) => error },
  labels: {
    name: 'mean AUC',
    of: ({ loss, summary }) => (summary?.meanAuc === undefined ? loss : 1 - summary.meanAuc),
  },
  values: { name: 'loss', of: ({ loss }) => loss },
};

/** A figure's name for people, and how it is shown: as a percentage, a count, or a number of four digits. */
interface FigureWords {
  readonly name: string;
  readonly form: 'share' | 'count' | 'number';
}

/** The words of all figures. */
export const figureWords: Readonly<Record<string, FigureWords>> = {
  top5Error: { name: 'top-5 error', form: 'share' },
  meanAuc: { name: 'mean AUC', form: 'number' },
  meanF1: { name: 'mean F1', form: 'number' },
  mae: { name: 'mean absolute error', form: 'number' },
  rmse: { name: 'root mean squared error', form: 'number' },
  auc: { name: 'AUC', form: 'number' },
  f1: { name: 'F1', form: 'number' },
  positives: { name: 'images with it', form: 'count' },
};
