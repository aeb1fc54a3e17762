/** @file Computes again what makes a DenseNet's memory quadratic: concatenations, normalizations and activations. */

import { traitsOf } from '../../ir/index.js';
import { byPredicate, type RematPolicy } from './predicate.js';

/**
 * Operators that touch each element a few times, such as concatenation, normalization and ReLU; but not what the backward
 * pass reads in its operand's stead, which costs no more to keep than the operand.
 */
export const recomputeCheap: RematPolicy = ({ operator }) => {
  const { cheap, replacesOperand } = traitsOf(operator);
  return cheap === true && replacesOperand !== true;
};

export const efficient = byPredicate(recomputeCheap);
