/** @file Checks that a graph is well formed: every value defined once and before use, every type as inferred. */

import { InternalError } from './errors.js';
import { type Graph, type Node, Value } from './graph.js';
import { inferTypes } from './operators/index.js';
import { formatType, sameType } from './shape.js';

/**
 * Accepts a well-formed graph.
 * @throws InternalError naming the first node, input or output that is not
 */
export function verifyGraph(graph: Graph): void {
  const fail = (message: string): never => {
    throw new InternalError(`graph ${graph.name}: ${message}`);
  };
  const defined = new Set<Value>();

  const inputNames = new Set<string>();
  for (const { name, value } of graph.inputs) {
    if (inputNames.has(name)) fail(`two inputs are named ${name}`);
    inputNames.add(name);
    if (defined.has(value)) fail(`the input ${name} defines a value that is defined already`);
    defined.add(value);
  }

  // Run after every pass over all nodes: plain loops.
  for (let index = 0; index < graph.nodes.length; index++) {
    const node = graph.nodes[index] as Node;
    for (let operand = 0; operand < node.inputs.length; operand++) {
      if (defined.has(node.inputs[operand] as Value)) continue;
      fail(`${where(index, node)} uses operand ${operand} before it is defined`);
    }
    if (!Value.areTyped(node)) {
      const mismatch = typeMismatch(node);
      if (mismatch) fail(`${where(index, node)}${mismatch}`);
      Value.markTyped(node);
    }
    for (const value of node.outputs) {
      if (defined.has(value)) fail(`${where(index, node)} defines a value that is defined already`);
      defined.add(value);
    }
  }

  const outputNames = new Set<string>();
  for (const output of graph.outputs) {
    if (outputNames.has(output.name)) fail(`two outputs are named ${output.name}`);
    outputNames.add(output.name);
    if (!defined.has(output.value)) fail(`the output ${output.name} is never computed`);
    if (output.role === 'result') continue;
    const target = graph.inputs.find(({ name }) => name === output.of);
    if (!target) {
      fail(`the output ${output.name} belongs to ${output.of}, which is no input`);
    } else if (!sameType(target.value.type, output.value.type)) {
      const types = `${formatType(output.value.type)} for ${formatType(target.value.type)}`;
      fail(`the output ${output.name} is ${types} of ${output.of}`);
    }
  }
}

function where(index: number, { operator, origin: { scope } }: Node): string {
  return `node ${index} (${operator}${scope ? ` of ${scope}` : ''})`;
}

/** How a node's outputs differ from what its operator gives for its operands. @throws RequestError when these don't fit */
function typeMismatch({ operator, inputs, outputs, attributes }: Node): string | undefined {
  const inferred = inferTypes(
    operator,
    inputs.map((value) => value.type),
    attributes,
  );
  if (inferred.length !== outputs.length)
    return ` has ${outputs.length} outputs, its operator gives ${inferred.length}`;
  for (const [output, { type }] of outputs.entries()) {
    const expected = inferred[output];
    if (!expected || sameType(expected, type)) continue;
    return `: output ${output} is ${formatType(type)}, its operator gives ${formatType(expected)}`;
  }
  return undefined;
}
