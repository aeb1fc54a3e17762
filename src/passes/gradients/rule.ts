/** @file What a gradient rule is, and the arithmetic that several rules share. */

import {
  type GraphBuilder,
  InternalError,
  type NodeOf,
  type OperatorAttributes,
  type OperatorName,
  type Shape,
  sameShape,
  type TensorType,
  type Value,
} from '../../ir/index.js';

/** Operands and outputs of the forward node that a rule's backward pass reads, by position. */
export interface Saved {
  readonly inputs?: readonly number[] | 'all';
  readonly outputs?: readonly number[];
}

/** The vector-Jacobian product of an operator. */
export interface GradientRule<K extends OperatorName> {
  readonly saves: Saved;
  /** The loss gradient at each operand, undefined where there is none; emitted to `node.builder`. */
  backward(node: BackwardNode<K>): readonly (Value | undefined)[];
}

/** Why an operator has no gradient. */
export interface NoGradient {
  readonly none: string;
}

/** A forward node as its gradient rule sees it: only what the rule said it saves can be read. */
export class BackwardNode<K extends OperatorName> {
  constructor(
    private readonly node: NodeOf<K>,
    private readonly saved: Saved,
    private readonly gradients: readonly (Value | undefined)[],
    readonly builder: GraphBuilder,
  ) {}

  get attributes(): OperatorAttributes[K] {
    return this.node.attributes;
  }

  /** The loss gradient at an output. @throws InternalError where no gradient arrives */
  gradient(output = 0): Value {
    const value = this.gradients[output];
    if (!value) throw new InternalError(`no gradient arrives at output ${output} of ${this.node.operator}`);
    return value;
  }

  /** The loss gradient at an output, undefined where none arrives. */
  gradientOrNone(output: number): Value | undefined {
    return this.gradients[output];
  }

  /** A saved operand. */
  input(index: number): Value {
    return this.read('inputs', index);
  }

  /** A saved output. */
  output(index = 0): Value {
    return this.read('outputs', index);
  }

  /** The type of an operand, which costs no memory to know. */
  inputType(index: number): TensorType {
    const value = this.node.inputs[index];
    if (!value) throw new InternalError(`${this.node.operator} has no operand ${index}`);
    return value.type;
  }

  /** The types of all outputs. */
  outputTypes(): readonly TensorType[] {
    return this.node.outputs.map((value) => value.type);
  }

  /** The number of operands. */
  get inputCount(): number {
    return this.node.inputs.length;
  }

  private read(kind: 'inputs' | 'outputs', index: number): Value {
    const value = this.node[kind][index];
    const saved = this.saved[kind];
    if (!value || !(saved === 'all' || saved?.includes(index))) {
      throw new InternalError(`the gradient rule of ${this.node.operator} reads ${kind}[${index}] but doesn't save it`);
    }
    return value;
  }
}

/** Sums a gradient over the axes along which the operand was broadcast. */
export function sumTo(builder: GraphBuilder, gradient: Value, shape: Shape): Value {
  const from = gradient.type.shape;
  if (sameShape(from, shape)) return gradient;
  const offset = from.length - shape.length;
  const axes = from.flatMap((dim, axis) => (axis < offset || (shape[axis - offset] === 1 && dim !== 1) ? [axis] : []));
  const summed = builder.emit('reduceSum', [gradient], { axes, keepDims: true });
  return sameShape(summed.type.shape, shape) ? summed : builder.emit('reshape', [summed], { shape });
}
