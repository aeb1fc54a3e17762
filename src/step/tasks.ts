/** @file What a network may be trained to tell of an image: one of some classes, several labels, or numbers. */

import type { DType, Shape } from '../ir/index.js';
import { batch } from '../ir/index.js';
import { batchInputs } from './interface.js';

/** `classes`: one of K; `labels`: each of K or not, as findings in an X-ray; `values`: K numbers, a regression. */
export type Task = 'classes' | 'labels' | 'values';

/** What a task asks of a batch, and what its figure `error` is. */
interface TaskFacts {
  /** The model's input for what is to be told, and its type beside its shape. */
  readonly input: string;
  readonly dtype: DType;
  /** Its extents for K outputs. */
  shape(outputs: number): Shape;
  /** What the K outputs are called. */
  readonly outputs: string;
  /** The least number of outputs that there is anything to learn of. */
  readonly leastOutputs: number;
  /** What `error` is, for people; a share of all, or a number in the targets' unit. */
  readonly error: string;
  readonly isShare: boolean;
}

/** The tasks; all else that depends on the task is a record over the same names, so that none is forgotten. */
export const tasks: Readonly<Record<Task, TaskFacts>> = {
  classes: {
    ...{ input: batchInputs.labels, dtype: 'int64', shape: () => [batch] },
    ...{ outputs: 'classes', leastOutputs: 2, error: 'error', isShare: true },
  },
  labels: {
    ...{ input: batchInputs.labels, dtype: 'float32', shape: (outputs) => [batch, outputs] },
    ...{ outputs: 'labels', leastOutputs: 1, error: 'wrong labels', isShare: true },
  },
  values: {
    ...{ input: batchInputs.targets, dtype: 'float32', shape: (outputs) => [batch, outputs] },
    ...{ outputs: 'values', leastOutputs: 1, error: 'mean absolute error', isShare: false },
  },
};

/** The names of the tasks. */
export const taskNames = Object.keys(tasks) as [Task, ...Task[]];
