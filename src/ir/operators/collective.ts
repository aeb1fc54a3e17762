/** @file What the processes of a run do together. */

import { type Definitions, sameAsFirst } from './definition.js';

export const collective = {
  allReduce: {
    operands: ['x'],
    collective: true,
    infer(inputs) {
      inputs.dtype(0, 'float32');
      return sameAsFirst(inputs);
    },
  },
} satisfies Definitions<'allReduce'>;
