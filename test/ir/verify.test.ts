/** @file Malformed graphs, each refused with what is wrong and where. */

import { describe, expect, it } from 'vitest';
import {
  type Graph,
  GraphBuilder,
  type GraphOutput,
  InternalError,
  type Node,
  RequestError,
  Value,
  verifyGraph,
} from '../../src/ir/index.js';

const f32 = (...shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;
const zero = { kind: 'constant', value: 0 } as const;

/** images, w → relu → mul: a good graph to break. */
function goodGraph(): Graph {
  const builder = new GraphBuilder('good');
  builder.origin = { scope: 'layer', phase: 'forward' };
  const images = builder.input(f32('N', 4), { name: 'images', role: 'batch' });
  const weight = builder.input(f32(4), { name: 'w', role: 'parameter', initializer: zero });
  const active = builder.emit('relu', [images], {});
  const product = builder.emit('mul', [active, weight], {});
  const gradient = builder.emit('reduceSum', [product], { axes: [0], keepDims: false });
  return builder.finish([
    { name: 'y', role: 'result', value: product },
    { name: 'gradient.w', role: 'gradient', of: 'w', value: gradient },
  ]);
}

function withNode(graph: Graph, index: number, change: (node: Node) => Partial<Node>): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map((node, at) => (at === index ? ({ ...node, ...change(node) } as Node) : node)),
  };
}

const withOutput = (graph: Graph, output: GraphOutput): Graph => ({ ...graph, outputs: [...graph.outputs, output] });

const firstValue = (graph: Graph): Value => graph.nodes[0]?.outputs[0] as Value;

const broken: readonly (readonly [string, (good: Graph) => Graph, string])[] = [
  [
    'an operand that is computed later',
    (good) => ({ ...good, nodes: [...good.nodes].reverse() }),
    'node 0 (reduceSum of layer) uses operand 0 before it is defined',
  ],
  [
    'an operand that is never computed',
    (good) => withNode(good, 1, ({ inputs: [first] }) => ({ inputs: [first as Value, new Value(f32(4))] })),
    'node 1 (mul of layer) uses operand 1 before it is defined',
  ],
  [
    'a value that two nodes compute',
    (good) => ({ ...good, nodes: [...good.nodes, good.nodes[0] as Node] }),
    'node 3 (relu of layer) defines a value that is defined already',
  ],
  [
    'an input that a node computes too',
    (good) => ({ ...good, inputs: [...good.inputs, { name: 'x', role: 'batch', value: firstValue(good) }] }),
    'node 0 (relu of layer) defines a value that is defined already',
  ],
  [
    'one value as two inputs',
    (good) => ({
      ...good,
      inputs: [...good.inputs, { name: 'again', role: 'batch', value: good.inputs[0]?.value as Value }],
    }),
    'the input again defines a value that is defined already',
  ],
  [
    'two inputs of one name',
    (good) => ({ ...good, inputs: [...good.inputs, { name: 'w', role: 'batch', value: new Value(f32(1)) }] }),
    'two inputs are named w',
  ],
  [
    'an output of another shape than the operator gives',
    (good) => withNode(good, 2, () => ({ outputs: [new Value(f32(5))] })),
    'node 2 (reduceSum of layer): output 0 is f32[5], its operator gives f32[4]',
  ],
  [
    'an output of another element type than the operator gives',
    (good) => withNode(good, 2, () => ({ outputs: [new Value({ dtype: 'int64', shape: [4] })] })),
    'node 2 (reduceSum of layer): output 0 is i64[4], its operator gives f32[4]',
  ],
  [
    'too many outputs',
    (good) => withNode(good, 0, ({ outputs }) => ({ outputs: [...outputs, new Value(f32(4))] })),
    'node 0 (relu of layer) has 2 outputs, its operator gives 1',
  ],
  [
    'two outputs of one name',
    (good) => withOutput(good, { name: 'y', role: 'result', value: firstValue(good) }),
    'two outputs are named y',
  ],
  [
    'an output that is never computed',
    (good) => withOutput(good, { name: 'z', role: 'result', value: new Value(f32()) }),
    'the output z is never computed',
  ],
  [
    'an output that belongs to no input',
    (good) => withOutput(good, { name: 'next.v', role: 'next', of: 'v', value: firstValue(good) }),
    'the output next.v belongs to v, which is no input',
  ],
  [
    'an output of another type than the input it belongs to',
    (good) => withOutput(good, { name: 'next.w', role: 'next', of: 'w', value: firstValue(good) }),
    'the output next.w is f32[N, 4] for f32[4] of w',
  ],
];

describe('verifyGraph', () => {
  it('accepts a well-formed graph', () => {
    expect(() => verifyGraph(goodGraph())).not.toThrow();
  });

  it.each(broken)('refuses %s', (_, breakGraph, message) => {
    const graph = breakGraph(goodGraph());
    expect(() => verifyGraph(graph)).toThrow(new InternalError(`graph good: ${message}`));
  });

  it('refuses a node with too few operands, as the table of operators says', () => {
    const graph = withNode(goodGraph(), 1, ({ inputs }) => ({ inputs: inputs.slice(0, 1) }));
    expect(() => verifyGraph(graph)).toThrow(new RequestError('mul takes (a, b), not 1 operands'));
  });
});
