/** @file The one table of operators: operands, shape rule and traits of each. */

import { RequestError } from '../errors.js';
import type { TensorType } from '../shape.js';
import type { OperatorAttributes, OperatorName } from './attributes.js';
import { collective } from './collective.js';
import { contraction } from './contraction.js';
import { type Definitions, type InPlace, Operands, type OperatorDefinition, type Traits } from './definition.js';
import { elementwise } from './elementwise.js';
import { losses } from './losses.js';
import { movement } from './movement.js';
import { normalization } from './normalization.js';

const rows = { ...elementwise, ...movement, ...contraction, ...normalization, ...losses, ...collective };

/** Every operator of the IR; a missing row fails the type check. */
export const operators: Definitions<OperatorName> = rows;

/** The operators that have no counterpart in a target. */
export type CompositeName = {
  [K in OperatorName]: (typeof rows)[K] extends { readonly composite: true } ? K : never;
}[OperatorName];

/** The traits of an operator. */
export function traitsOf(operator: OperatorName): Traits {
  return operators[operator];
}

/** What is asked about an operator where it is applied. */
interface Application {
  readonly operator: OperatorName;
  readonly inputs: readonly unknown[];
  readonly attributes: unknown;
}

/** The operands over which a node may write, by output. */
export function inPlaceOf({ operator, inputs, attributes }: Application): readonly InPlace[] {
  const definition = operators[operator] as OperatorDefinition<unknown>;
  return definition.inPlace?.(inputs.length, attributes) ?? [];
}

/** Whether `count` operands suit an operator. */
function acceptsOperands(names: readonly string[], count: number): boolean {
  if (names.at(-1)?.endsWith('...')) return count >= names.length;
  const required = names.filter((name) => !name.endsWith('?')).length;
  return count >= required && count <= names.length;
}

/**
 * The types of a node's outputs by the operator's shape rule.
 * @throws RequestError when the number or the types of the operands don't fit
 */
export function inferTypes<K extends OperatorName>(
  operator: K,
  inputs: readonly TensorType[],
  attributes: OperatorAttributes[K],
): readonly TensorType[] {
  const definition: OperatorDefinition<OperatorAttributes[K]> = operators[operator];
  if (!acceptsOperands(definition.operands, inputs.length)) {
    throw new RequestError(`${operator} takes (${definition.operands.join(', ')}), not ${inputs.length} operands`);
  }
  return definition.infer(new Operands(inputs, operator), attributes);
}

export type { Convolution, OperatorAttributes, OperatorName, Pads, Pair, Window } from './attributes.js';
export type { InPlace, Traits } from './definition.js';
