/** @file What the processes of a run do together; of one process, as here, each sum is what it has itself. */

import { operand, tensor } from './checks.js';
import type { OwnOperator } from './definition.js';

/** The sum of a tensor over all processes. Sessions of a run of several put their own kernel in this one's place. */
export const allReduce: OwnOperator = {
  name: 'AllReduce',
  operands: ['x'],
  outputs: ['sum'],
  attributes: { index: 'int' },
  inPlace: [],
  shapes: (inputs) => [operand(inputs, 0, 'x')],
  reference: (inputs, outputs) => tensor(outputs, 0).data.set(tensor(inputs, 0).data),
};
