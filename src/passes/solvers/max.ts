/** @file Computes bottlenecks again as well: of a dense layer only its features stay. */

import { traitsOf } from '../../ir/index.js';
import { isPointwise } from '../convolutions.js';
import { byPredicate, type RematPolicy } from './predicate.js';

/** All that is cheap, and 1×1 convolutions. */
export const recomputeBottlenecks: RematPolicy = (node) => traitsOf(node.operator).cheap === true || isPointwise(node);

export const max = byPredicate(recomputeBottlenecks);
