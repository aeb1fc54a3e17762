/** @file Graphs as text: deterministic, one node a line, values numbered in order. */

import type { Graph, GraphInput, Node, Value } from './graph.js';
import { formatType } from './shape.js';
import type { TensorData } from './tensor-data.js';

/**
 * A graph as text. Values are named by their order, so equal graphs print equally.
 *
 * ```
 * graph mlp {
 *   in  batch %images: f32[N, 4]
 *   %0: f32[N, 2] = matMul(%images, %fc.weight) {transposeA=false, transposeB=true}  # forward fc
 *   out result loss = %3
 * }
 * ```
 */
export function printGraph(graph: Graph): string {
  const names = nameValues(graph);
  const lines = [
    `graph ${graph.name} {`,
    ...graph.inputs.map((input) => `  in  ${input.role} ${printInput(input, names)}`),
    ...graph.nodes.map((node) => `  ${printNode(node, names)}`),
    ...graph.outputs.map((output) => {
      const target = output.role === 'result' ? '' : ` of ${output.of}`;
      return `  out ${output.role} ${output.name}${target} = ${names.get(output.value) ?? '%?'}`;
    }),
    '}',
  ];
  return lines.join('\n');
}

/** `%name` for inputs, `%0`, `%1`, … for what nodes compute. */
function nameValues(graph: Graph): ReadonlyMap<Value, string> {
  const names = new Map<Value, string>();
  for (const { name, value } of graph.inputs) names.set(value, `%${name}`);
  let count = 0;
  for (const value of graph.nodes.flatMap((node) => node.outputs)) names.set(value, `%${count++}`);
  return names;
}

function printInput(input: GraphInput, names: ReadonlyMap<Value, string>): string {
  return `${names.get(input.value)}: ${formatType(input.value.type)}`;
}

function printNode(node: Node, names: ReadonlyMap<Value, string>): string {
  const outputs = node.outputs.map((value) => `${names.get(value)}: ${formatType(value.type)}`);
  const inputs = node.inputs.map((value) => names.get(value) ?? '%?');
  const attributes = Object.entries(node.attributes).map(([name, value]) => `${name}=${printAttribute(value)}`);
  const braces = attributes.length > 0 ? ` {${attributes.join(', ')}}` : '';
  const origin = [node.origin.phase, node.origin.scope].filter(Boolean).join(' ');
  return `${outputs.join(', ')} = ${node.operator}(${inputs.join(', ')})${braces}  # ${origin}`;
}

function printAttribute(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printAttribute).join(', ')}]`;
  if (value !== null && typeof value === 'object') return printTensor(value as TensorData);
  return String(value);
}

function printTensor({ shape, data }: TensorData): string {
  const shown = Array.from(data.slice(0, 4), String).join(', ');
  const elements = data.length > 4 ? `${shown}, … ${data.length} in all` : shown;
  return `${shape.length > 0 ? `[${shape.join(', ')}]` : ''}(${elements})`;
}
