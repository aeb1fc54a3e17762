/** @file Graphs as text: deterministic, one node a line, values numbered in order. `parseGraph` reads it back. */

import type { Graph, GraphInput, Initializer, Node, Value } from './graph.js';
import { formatType } from './shape.js';
import type { TensorData } from './tensor-data.js';

/** How a graph is printed. */
export interface PrintOptions {
  /** Elements of a constant that are shown, for people; a text without the others can't be read back. By default all. */
  readonly elements?: number;
}

/**
 * A graph as text. Values are named by their order, so equal graphs print equally, and `parseGraph` gives back a graph that
 * no pass can tell from the printed one. State begins with 0 where no initializer is shown.
 *
 * ```
 * graph mlp {
 *   in  batch %images: f32[N, 4]
 *   in  parameter %fc.weight: f32[2, 4] {initializer=uniform(0.5)}
 *   %0: f32[N, 2] = matMul(%images, %fc.weight) {transposeA=false, transposeB=true}  # forward fc
 *   out result loss = %3
 * }
 * ```
 */
export function printGraph(graph: Graph, { elements = Number.POSITIVE_INFINITY }: PrintOptions = {}): string {
  const names = nameValues(graph);
  const lines = [
    `graph ${printName(graph.name)} {`,
    ...graph.inputs.map((input) => `  in  ${input.role} ${printInput(input, names)}`),
    ...graph.nodes.map((node) => `  ${printNode(node, names, elements)}`),
    ...graph.outputs.map((output) => {
      const target = output.role === 'result' ? '' : ` of ${printName(output.of)}`;
      return `  out ${output.role} ${printName(output.name)}${target} = ${names.get(output.value) ?? '%?'}`;
    }),
    '}',
  ];
  return lines.join('\n');
}

/** A name that stands in a text as it is: nothing in it could be read as something else. */
const plainName = /^[^\s\p{C}"%{}()[\],=#:?]+$/u;

/** A name as it stands in a text: in quotes where it isn't plain. */
function printName(name: string): string {
  return plainName.test(name) ? name : JSON.stringify(name);
}

/** An input's name as a value; a number alone is what a node computes. */
export function printInputName(name: string): string {
  return `%${/^\d+$/.test(name) ? JSON.stringify(name) : printName(name)}`;
}

/** `%name` for inputs, `%0`, `%1`, … for what nodes compute. */
function nameValues(graph: Graph): ReadonlyMap<Value, string> {
  const names = new Map<Value, string>();
  for (const { name, value } of graph.inputs) names.set(value, printInputName(name));
  let count = 0;
  for (const value of graph.nodes.flatMap((node) => node.outputs)) names.set(value, `%${count++}`);
  return names;
}

function printInput(input: GraphInput, names: ReadonlyMap<Value, string>): string {
  const facts: string[] = [];
  if ('initializer' in input && !isZero(input.initializer)) {
    facts.push(`initializer=${printInitializer(input.initializer)}`);
  }
  if (input.role === 'running') facts.push(`momentum=${printNumber(input.momentum)}`);
  if ('parameter' in input) facts.push(`parameter=${printName(input.parameter)}`);
  if (input.role === 'parameter' && input.frozen) facts.push('frozen=true');
  return `${names.get(input.value)}: ${formatType(input.value.type)}${inBraces(facts)}`;
}

function isZero(initializer: Initializer): boolean {
  return initializer.kind === 'constant' && Object.is(initializer.value, 0);
}

function printInitializer(initializer: Initializer): string {
  switch (initializer.kind) {
    case 'constant':
      return `constant(${printNumber(initializer.value)})`;
    case 'normal':
      return `normal(${printNumber(initializer.deviation)})`;
    case 'uniform':
      return `uniform(${printNumber(initializer.bound)})`;
  }
}

function printNode(node: Node, names: ReadonlyMap<Value, string>, elements: number): string {
  const outputs = node.outputs.map((value) => `${names.get(value)}: ${formatType(value.type)}`);
  const inputs = node.inputs.map((value) => names.get(value) ?? '%?');
  const attributes = Object.entries(node.attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${printAttribute(value, elements)}`);
  const { phase, scope } = node.origin;
  const origin = scope === '' ? phase : `${phase} ${printName(scope)}`;
  return `${outputs.join(', ')} = ${node.operator}(${inputs.join(', ')})${inBraces(attributes)}  # ${origin}`;
}

function inBraces(facts: readonly string[]): string {
  return facts.length > 0 ? ` {${facts.join(', ')}}` : '';
}

function printAttribute(value: unknown, elements: number): string {
  if (Array.isArray(value)) return `[${value.map((item) => printAttribute(item, elements)).join(', ')}]`;
  if (value !== null && typeof value === 'object') return printTensor(value as TensorData, elements);
  return typeof value === 'number' ? printNumber(value) : String(value);
}

function printTensor({ shape, data }: TensorData, elements: number): string {
  const shown = Array.from(data.slice(0, elements) as ArrayLike<number | bigint>, printNumber).join(', ');
  const cut = data.length > elements ? `, … ${data.length} in all` : '';
  return `${shape.length > 0 ? `[${shape.join(', ')}]` : ''}(${shown}${cut})`;
}

/** The shortest digits that give the number back; `String` loses the sign of −0. */
function printNumber(value: number | bigint): string {
  return Object.is(value, -0) ? '-0' : String(value);
}
