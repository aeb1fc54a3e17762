/** @file Appends nodes to a growing graph, inferring the types of what they compute. */

import { InternalError } from './errors.js';
import type { Graph, GraphInput, GraphOutput, Node, NodeOf, Origin } from './graph.js';
import { Value } from './graph.js';
import { inferTypes, type OperatorAttributes, type OperatorName } from './operators/index.js';
import type { TensorType } from './shape.js';
import { floatTensor, type TensorData } from './tensor-data.js';

/** Builds one graph; equal small constants are made once. */
export class GraphBuilder {
  /** Stamped on every node that is emitted. */
  origin: Origin = { scope: '', phase: 'forward' };
  readonly inputs: GraphInput[];
  readonly nodes: Node[] = [];
  private readonly constants = new Map<string, Value>();

  /** Starts a graph, with the inputs of another where it is a rewriting of that. */
  constructor(
    readonly name: string,
    inputs: readonly GraphInput[] = [],
  ) {
    this.inputs = [...inputs];
  }

  /** Adds an input. @throws InternalError when the name is taken */
  input<T extends DistributiveOmit<GraphInput, 'value'>>(type: TensorType, input: T): Value {
    if (this.inputs.some(({ name }) => name === input.name)) {
      throw new InternalError(`the graph ${this.name} already has an input ${input.name}`);
    }
    const value = new Value(type);
    this.inputs.push({ ...input, value } as GraphInput);
    return value;
  }

  /** Adds a node and returns what it computes. @throws RequestError when the operands don't fit */
  emitAll<K extends OperatorName>(
    operator: K,
    inputs: readonly Value[],
    attributes: OperatorAttributes[K],
  ): readonly Value[] {
    const types = inferTypes(
      operator,
      inputs.map((value) => value.type),
      attributes,
    );
    const outputs = types.map((type) => new Value(type));
    const node: NodeOf<K> = { operator, inputs, outputs, attributes, origin: this.origin };
    Value.markTyped(node as unknown as Node);
    this.nodes.push(node as unknown as Node);
    return outputs;
  }

  /** Adds a node with a single output. */
  emit<K extends OperatorName>(operator: K, inputs: readonly Value[], attributes: OperatorAttributes[K]): Value {
    const [output] = this.emitAll(operator, inputs, attributes);
    if (!output) throw new InternalError(`${operator} has no output`);
    return output;
  }

  /** A constant; the same small tensor asked for twice is one value. */
  constant(value: TensorData): Value {
    if (value.data.length > 4096) return this.emit('constant', [], { value });
    const key = `${value.dtype}[${value.shape.join()}]${value.data.join()}`;
    let known = this.constants.get(key);
    if (!known) {
      known = this.emit('constant', [], { value });
      this.constants.set(key, known);
    }
    return known;
  }

  /** A float32 scalar. */
  scalar(value: number): Value {
    return this.constant(floatTensor([], [value]));
  }

  /** Adds an existing node as it is. */
  append(node: Node): void {
    this.nodes.push(node);
  }

  /** Runs `body` with another origin. */
  within<T>(origin: Partial<Origin>, body: () => T): T {
    const before = this.origin;
    this.origin = { ...before, ...origin };
    try {
      return body();
    } finally {
      this.origin = before;
    }
  }

  /** The finished graph. */
  finish(outputs: readonly GraphOutput[]): Graph {
    return { name: this.name, inputs: [...this.inputs], nodes: [...this.nodes], outputs };
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
