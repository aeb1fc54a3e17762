/** @file Graphs as text in tests: written with the code's indentation, read, and held against one another. */

import { expect } from 'vitest';
import { type Graph, parseGraph, printGraph, type Value } from '../../src/ir/index.js';

/** A graph's text without the indentation that it has in the code, as `printGraph` gives it. */
export function sameText(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const indentation = /^ */.exec(lines[0] ?? '')?.[0] ?? '';
  return lines.map((line) => (line.startsWith(indentation) ? line.slice(indentation.length) : line)).join('\n');
}

/** Fails unless a graph's text gives back the text, and a graph that no pass can tell from it. */
export function expectReadBack(graph: Graph): void {
  const text = printGraph(graph);
  const read = parseGraph(text);
  expect(printGraph(read)).toBe(text);
  expect(plain(read)).toEqual(plain(graph));
}

/** A graph as data, values by the order in which they are defined, attributes in their order; sources are of other graphs. */
function plain(graph: Graph): unknown {
  const numbers = new Map<Value, number>();
  const number = (value: Value): number => {
    if (!numbers.has(value)) numbers.set(value, numbers.size);
    return numbers.get(value) as number;
  };
  const described = (value: Value): unknown => [number(value), value.type];
  return {
    name: graph.name,
    inputs: graph.inputs.map(({ value, ...input }) => [described(value), input]),
    nodes: graph.nodes.map(({ operator, inputs, outputs, attributes, origin }) => ({
      operator,
      inputs: inputs.map(number),
      outputs: outputs.map(described),
      attributes: Object.entries(attributes).filter(([, value]) => value !== undefined),
      origin: { scope: origin.scope, phase: origin.phase },
    })),
    outputs: graph.outputs.map(({ value, ...output }) => [number(value), output]),
  };
}
