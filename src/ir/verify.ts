/** @file Checks that a graph is well formed: every value defined once and before use, every type as inferred. */

import { InternalError } from './errors.js';
import type { Graph, Value } from './graph.js';
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
  const define = (value: Value, where: string): void => {
    if (defined.has(value)) fail(`${where} defines a value that is defined already`);
    defined.add(value);
  };

  const inputNames = new Set<string>();
  for (const { name, value } of graph.inputs) {
    if (inputNames.has(name)) fail(`two inputs are named ${name}`);
    inputNames.add(name);
    define(value, `the input ${name}`);
  }

  for (const [index, node] of graph.nodes.entries()) {
    const where = `node ${index} (${node.operator}${node.origin.scope ? ` of ${node.origin.scope}` : ''})`;
    for (const [operand, value] of node.inputs.entries()) {
      if (!defined.has(value)) fail(`${where} uses operand ${operand} before it is defined`);
    }
    const inferred = inferTypes(
      node.operator,
      node.inputs.map((value) => value.type),
      node.attributes,
    );
    if (inferred.length !== node.outputs.length) {
      fail(`${where} has ${node.outputs.length} outputs, its operator gives ${inferred.length}`);
    }
    for (const [output, value] of node.outputs.entries()) {
      const expected = inferred[output];
      if (expected && !sameType(expected, value.type)) {
        fail(`${where}: output ${output} is ${formatType(value.type)}, its operator gives ${formatType(expected)}`);
      }
      define(value, where);
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
