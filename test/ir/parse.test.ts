/** @file Graphs read back from text: nothing that a pass can see is lost, and what is wrong is told by line. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mlp } from '../../examples/mlp.js';
import { resnet } from '../../examples/resnet.js';
import { densenet, type Network, traceNetwork } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import {
  FailureError,
  floatTensor,
  type Graph,
  GraphBuilder,
  type Initializer,
  int64Tensor,
  parseGraph,
  printGraph,
  type Value,
  verifyGraph,
} from '../../src/ir/index.js';
import { expectReadBack, sameText } from '../helpers/graphs.js';
import { networkOf, networkSpecs } from '../helpers/networks.js';

describe('parseGraph', () => {
  it('reads back every role, with its facts', () => {
    const text = sameText(`
      graph roles {
        in  batch %images: f32[N, 4]
        in  scalar %learning_rate: f32[]
        in  counter %count: i64[]
        in  counter %other: i64[] {initializer=constant(3)}
        in  parameter %w: f32[4] {initializer=normal(0.1)}
        in  parameter %v: f32[4] {initializer=uniform(1e-7), frozen=true}
        in  parameter %zero: f32[4] {initializer=constant(-0)}
        in  running %mean: f32[4] {initializer=constant(1), momentum=0.1}
        in  momentum %momentum.w: f32[4] {parameter=w}
        %0: f32[N, 4] = mul(%images, %w)  # forward first.layer
        %1: f32[4] = reduceSum(%0) {axes=[0], keepDims=false}  # backward
        %2: f32[4] = copy(%w)  # update
        %3: f32[N, 4] = relu(%0)  # recompute "a layer, with spaces"
        out result y = %3
        out gradient gradient.w of w = %1
        out observation observed.mean of mean = %1
        out next next.w of w = %2
      }`);
    const graph = parseGraph(text);
    verifyGraph(graph);
    expect(printGraph(graph)).toBe(text);
    expect(graph.inputs.map(({ value: _, ...input }) => input)).toEqual([
      { name: 'images', role: 'batch' },
      { name: 'learning_rate', role: 'scalar' },
      { name: 'count', role: 'counter', initializer: { kind: 'constant', value: 0 } },
      { name: 'other', role: 'counter', initializer: { kind: 'constant', value: 3 } },
      { name: 'w', role: 'parameter', initializer: { kind: 'normal', deviation: 0.1 } },
      { name: 'v', role: 'parameter', initializer: { kind: 'uniform', bound: 1e-7 }, frozen: true },
      { name: 'zero', role: 'parameter', initializer: { kind: 'constant', value: -0 } },
      { name: 'mean', role: 'running', initializer: { kind: 'constant', value: 1 }, momentum: 0.1 },
      { name: 'momentum.w', role: 'momentum', initializer: { kind: 'constant', value: 0 }, parameter: 'w' },
    ]);
    expect(graph.nodes[3]?.origin).toEqual({ scope: 'a layer, with spaces', phase: 'recompute' });
    expect(graph.outputs.map(({ value: _, ...output }) => output)).toEqual([
      { name: 'y', role: 'result' },
      { name: 'gradient.w', role: 'gradient', of: 'w' },
      { name: 'observed.mean', role: 'observation', of: 'mean' },
      { name: 'next.w', role: 'next', of: 'w' },
    ]);
  });

  it('keeps constants to the bit, however many elements they have and whatever these are', () => {
    const builder = new GraphBuilder('constants');
    const odd = [0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-45, 3.4028235e38, 1 / 3];
    builder.constant(floatTensor([2, 2, 2], odd));
    builder.constant(floatTensor([0], []));
    builder.constant(
      floatTensor(
        [5000],
        Array.from({ length: 5000 }, (_, index) => Math.sin(index)),
      ),
    );
    builder.constant(int64Tensor([3], [-(2n ** 63n), 2n ** 63n - 1n, 9007199254740993n]));
    builder.constant({ dtype: 'uint32', shape: [2], data: Uint32Array.of(0, 2 ** 32 - 1) });
    builder.constant({ dtype: 'bool', shape: [], data: Uint8Array.of(1) });
    builder.emit('hardSigmoid', [builder.scalar(-0)], { alpha: 1e38, beta: -0 });
    const graph = builder.finish([]);
    expectReadBack(graph);
    expect(printGraph(graph)).toContain(
      '(0, -0, NaN, Infinity, -Infinity, 1.401298464324817e-45, 3.4028234663852886e+38, 0.3333333432674408)',
    );
  });

  it('keeps names that look like something else', () => {
    const names = ['0', 'a b', 'x, y', '%"quoted"', 'of', 'ünï.çødé', 'line\nbreak', '#', '', 'a"b\\', '\ud800', '?'];
    const zero: Initializer = { kind: 'constant', value: 0 };
    const builder = new GraphBuilder('a name = {');
    const state = names.map((name) =>
      builder.input({ dtype: 'float32', shape: [] }, { name, role: 'parameter', initializer: zero }),
    );
    const values = state.map((value, index) =>
      builder.within({ scope: names[index] as string }, () => builder.emit('neg', [value], {})),
    );
    expectReadBack(
      builder.finish(names.map((name, index) => ({ name, role: 'next', of: name, value: values[index] as Value }))),
    );
  });

  it('reads what people write: other names of values, blanks, no origin', () => {
    const graph = parseGraph(
      '\n graph g{ \r\n in batch %x:f32[N,2]\n\n%twice:f32[ N , 2 ]=add( %x,%x )\n%y: f32[N, 4]=concat(%twice, %x){ axis = 1 }\nout result y=%y\n}\n\n',
    );
    expect(printGraph(graph)).toBe(
      sameText(`
      graph g {
        in  batch %x: f32[N, 2]
        %0: f32[N, 2] = add(%x, %x)  # forward
        %1: f32[N, 4] = concat(%0, %x) {axis=1}  # forward
        out result y = %1
      }`),
    );
  });

  it('refuses a constant that was shortened for people', () => {
    const builder = new GraphBuilder('short');
    builder.constant(floatTensor([6], [1, 2, 3, 4, 5, 6]));
    const text = printGraph(builder.finish([]), { elements: 4 });
    expect(text).toContain('{value=[6](1, 2, 3, 4, … 6 in all)}');
    expect(() => parseGraph(text)).toThrow('the graph, line 2: the constant is shortened (…), expected all');
  });
});

/** A text of one line between an input of two columns and nothing else. */
const around = (line: string): string => `graph g {\n  in  batch %x: f32[N, 2]\n  ${line}\n}`;

describe('what is wrong is told by line', () => {
  it.each<[string, string, string]>([
    ['no graph', '', 'line 1: found the end of the line, expected graph NAME {'],
    ['no end', 'graph g {\n', 'found the end of the text, expected }'],
    ['something after the end', 'graph g {\n}\n}', 'line 3: found }, expected the end of the line'],
    [
      'a role',
      'graph g {\n  in  image %x: f32[N]\n}',
      'line 2: found image %x: f32[N], expected one of batch, scalar,',
    ],
    [
      'an element type',
      'graph g {\n  in  batch %x: f64[N]\n}',
      'line 2: found f64[N], expected one of f32, i64, u32, bool',
    ],
    [
      'an extent',
      'graph g {\n  in  batch %x: f32[N, 2.5]\n}',
      'line 2: found 2.5, expected an extent such as 3, N or 4*N',
    ],
    ['an input twice', around('in  batch %x: f32[N]'), 'line 3: the input x is defined already'],
    [
      'a fact',
      around('in  parameter %w: f32[2] {momentum=1}'),
      'found momentum=1}, expected one of initializer, frozen',
    ],
    ['facts of a batch', around('in  batch %w: f32[2] {frozen=true}'), 'an input of role batch has no more facts'],
    ['no momentum', around('in  running %m: f32[2]'), 'found the end of the line, expected {momentum=…}'],
    [
      'an initializer',
      around('in  counter %c: i64[] {initializer=ones(1)}'),
      'expected one of constant, normal, uniform',
    ],
    [
      'an input after nodes',
      around('%0: f32[N, 2] = relu(%x)\n  in batch %y: f32[N]'),
      'line 4: found an input, expected',
    ],
    [
      'an operator',
      around('%0: f32[N, 2] = rleu(%x)'),
      'line 3: found the operator rleu, which there is not; the nearest is relu',
    ],
    ['a property as operator', around('%0: f32[N, 2] = constructor(%x)'), 'the nearest is'],
    ['an operand', around('%0: f32[N, 2] = relu(%y)'), 'line 3: found %y, expected a value that is defined above'],
    ['a value twice', around('%x: f32[N, 2] = relu(%x)'), 'line 3: %x is defined already'],
    ['too many operands', around('%0: f32[N, 2] = relu(%x, %x)'), 'line 3: relu takes (x), not 2 operands'],
    [
      'operands that do not fit',
      around('%0: f32[N] = matMul(%x, %x) {transposeA=false, transposeB=false}'),
      'line 3: matMul(f32[N, 2], f32[N, 2]): the inner',
    ],
    [
      'another type',
      around('%0: f32[N, 3] = relu(%x)'),
      'line 3: found %0: f32[N, 3], expected the f32[N, 2] that relu gives',
    ],
    [
      'another count of outputs',
      around('%0: f32[N, 1], %1: f32[N, 1] = relu(%x)'),
      'line 3: found 2 outputs, expected the 1 that relu gives',
    ],
    [
      'an unknown attribute',
      around('%0: f32[N, 2] = relu(%x) {slope=1}'),
      'line 3: found the attribute slope, expected one of relu: none',
    ],
    ['an inherited attribute', around('%0: f32[N, 2] = relu(%x) {toString=1}'), 'found the attribute toString'],
    [
      'an attribute of another kind',
      around('%0: f32[N, 4] = concat(%x, %x) {axis=[1]}'),
      'line 3: found axis=[1], expected a whole number',
    ],
    [
      'an attribute of another word',
      around('%0: f32[N, 4] = concat(%x, %x) {axis=1, as=both}'),
      'found as="both", expected group or part',
    ],
    [
      'an attribute twice',
      around('%0: f32[N, 4] = concat(%x, %x) {axis=1, axis=1}'),
      'the attribute axis is given twice',
    ],
    [
      'no attribute',
      around('%0: f32[N, 4] = concat(%x, %x)'),
      'line 3: concat lacks the attribute axis, expected a whole number',
    ],
    [
      'too few elements',
      around('%0: f32[2] = constant() {value=[2](1)}'),
      'line 3: found 1 elements, expected 2 for [2]',
    ],
    [
      'an element that is no number',
      around('%0: f32[1] = constant() {value=[1](one)}'),
      'found one, expected a number',
    ],
    [
      'an element of another type',
      around('%0: i64[1] = constant() {value=[1](0.5)}'),
      'found the element 0.5, expected one of the type int64',
    ],
    ['a phase', around('%0: f32[N, 2] = relu(%x)  # sideways'), 'found sideways, expected one of forward, backward'],
    [
      'a node after outputs',
      around('out result y = %x\n  %0: f32[N, 2] = relu(%x)'),
      'line 4: found %0: f32[N, 2] = relu(%x), expected out or }',
    ],
    ['an output twice', around('out result y = %x\n  out result y = %x'), 'line 4: the output y is defined already'],
    [
      'an output of nothing',
      around('out next y of z = %x'),
      'line 3: the output y belongs to z, expected the name of an input',
    ],
    [
      'an output of another type',
      around('in  counter %c: i64[]\n  out next y of c = %x'),
      'line 4: the output y is f32[N, 2], expected the i64[] of c',
    ],
    ['a value without its sign', around('out result y = x'), 'line 3: found x, expected a value such as %0'],
  ])('%s', (_, text, message) => {
    expect(() => parseGraph(text)).toThrow(FailureError);
    expect(() => parseGraph(text)).toThrow(message);
  });

  it('and by the name of the file', () => {
    expect(() => parseGraph('graf', 'net/forward.txt')).toThrow(
      'net/forward.txt, line 1: found graf, expected graph NAME {',
    );
  });
});

/** A network's graphs: as traced, after each pass of training and evaluation, lowered. */
function everyGraph(network: Network, options: Parameters<typeof compile>[1]): Graph[] {
  const graphs: Graph[] = [traceNetwork(network)];
  compile(network, { ...options, observe: (_, graph) => graphs.push(graph) });
  return graphs;
}

describe('every graph of a network can be read back', () => {
  const small = densenet({ blockConfig: [3, 3], growthRate: 4, imageSize: 8, dropRate: 0.25 });

  it.each<[string, Network, Parameters<typeof compile>[1]]>([
    ['densenet', small, { remat: 'max', freeze: ['features.conv0'] }],
    ['densenet for WebGPU', small, { target: 'webgpu', remat: 'efficient' }],
    ['densenet with our kernels', small, { target: 'cuda', kernels: 'cudnn', remat: 'efficient' }],
    ['resnet', resnet([4, 8], 8), { optimizer: { kind: 'adamw', accumulate: 3 }, segmentBytes: 0 }],
    ['mlp', mlp([8, 4], 4), { optimizer: { kind: 'sgd', momentum: 0, nesterov: false } }],
  ])('%s', (_, network, options) => {
    for (const graph of everyGraph(network, options)) expectReadBack(graph);
  });

  it(
    'random networks',
    () =>
      fc.assert(
        fc.property(networkSpecs, fc.constantFrom('none' as const, 'max' as const), (spec, remat) => {
          for (const graph of everyGraph(networkOf(spec), { remat })) expectReadBack(graph);
        }),
        {
          seed: Number(process.env.DENSEC_SEED ?? 20_240_817),
          numRuns: process.env.DENSEC_LONG ? 300 : 15,
        },
      ),
    process.env.DENSEC_LONG ? 3_600_000 : 120_000,
  );
});
