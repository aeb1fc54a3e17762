/** @file Small clean-ups: dead code, common subexpressions, needless repetition of elements. */

import { type Graph, type Node, sameShape, traitsOf, type Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/** Removes nodes whose results nothing uses. */
export const removeDeadCode: Pass = {
  name: 'remove-dead-code',
  run(graph) {
    const used = new Set<Value>(graph.outputs.map(({ value }) => value));
    const kept: Node[] = [];
    for (const node of graph.nodes.toReversed()) {
      if (!node.outputs.some((value) => used.has(value)) && !traitsOf(node.operator).collective) continue;
      for (const value of node.inputs) used.add(value);
      kept.push(node);
    }
    return kept.length === graph.nodes.length ? graph : { ...graph, nodes: kept.reverse() };
  },
};

/**
 * Computes equal things once: the same operator with the same attributes on the same operands. What is computed again is not
 * equal to its original, since it waits for another value (`after`).
 */
export const shareSubexpressions: Pass = {
  name: 'share-subexpressions',
  run(graph) {
    const numbers = new Map<Value, number>();
    const numberOf = (value: Value): number => {
      const known = numbers.get(value) ?? numbers.size;
      numbers.set(value, known);
      return known;
    };
    const seen = new Map<string, readonly Value[]>();
    return rewriteNodes(graph, (node, inputs) => {
      if (traitsOf(node.operator).collective) return undefined;
      const key = `${node.operator}(${inputs.map(numberOf).join()})${attributesKey(node)}`;
      const earlier = seen.get(key);
      if (!earlier) seen.set(key, node.outputs);
      return earlier;
    });
  },
};

/** Leaves out products with exactly 1, as the gradient of the loss at itself brings them. */
export const dropUnits: Pass = {
  name: 'drop-units',
  run(graph: Graph): Graph {
    const units = new Set<Value>();
    return rewriteNodes(graph, (node, inputs) => {
      const [output] = node.outputs as [Value];
      if (node.operator === 'constant' && node.attributes.value.data.length === 1) {
        if (Number(node.attributes.value.data[0]) === 1) units.add(output);
      }
      if (node.operator !== 'mul') return undefined;
      const [a, b] = inputs as [Value, Value];
      const other = units.has(a) ? b : units.has(b) ? a : undefined;
      return other && sameShape(other.type.shape, output.type.shape) ? [other] : undefined;
    });
  },
};

/**
 * Reshapes once where that is done twice: fewer nodes, and nothing that the runtime's optimizer would merge by itself. A
 * reshape whose extents are computed holds the order of the plan: it stays.
 */
export const mergeReshapes: Pass = {
  name: 'merge-reshapes',
  run(graph: Graph): Graph {
    const sources = new Map<Value, Value>();
    const rewritten = rewriteNodes(graph, (node, inputs, builder) => {
      if (node.operator !== 'reshape' || inputs.length > 1) return undefined;
      const before = sources.get(inputs[0] as Value);
      const source = before ?? (inputs[0] as Value);
      const [output] = node.outputs as [Value];
      if (sameShape(source.type.shape, output.type.shape)) return [source];
      const result = before ? builder.emit('reshape', [source], node.attributes) : output;
      sources.set(result, source);
      return before && [result];
    });
    return removeDeadCode.run(rewritten);
  },
};

/** Leaves out `expand` where its consumer broadcasts by itself to the same result. */
export const elideExpand: Pass = {
  name: 'elide-expand',
  run(graph: Graph): Graph {
    const sources = new Map<Value, Value>();
    const rewritten = rewriteNodes(graph, (node, inputs, builder) => {
      const [source] = inputs;
      if (node.operator === 'expand' && source) for (const value of node.outputs) sources.set(value, source);
      if (!traitsOf(node.operator).elementwise || node.inputs.length !== 2) return undefined;
      const [a, b] = inputs as [Value, Value];
      const [before] = node.outputs as [Value];
      for (const operands of [[sources.get(a), b] as const, [a, sources.get(b)] as const]) {
        const [left, right] = operands;
        if (!left || !right || !coversShape(before, left, right)) continue;
        return [builder.emit(node.operator as 'mul', [left, right], node.attributes)];
      }
      return undefined;
    });
    return removeDeadCode.run(rewritten);
  },
};

/** Whether one of the operands has the whole shape of the result already. */
function coversShape(result: Value, ...operands: readonly Value[]): boolean {
  const shape = result.type.shape.join();
  return operands.some((operand) => operand.type.shape.join() === shape);
}

function attributesKey(node: Node): string {
  if (node.operator === 'constant') {
    const { dtype, shape, data } = node.attributes.value;
    return `${dtype}[${shape.join()}]${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')}`;
  }
  return JSON.stringify(node.attributes);
}
