/** @file What the memory model believes of writing in place, asked of the runtime: by how much a process grows. */

import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { GraphBuilder, inPlaceOf, type Node, type Value } from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import { temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const [channels, side] = [16, 1024] as const;
const tensorBytes = 4 * channels * side * side;

/** Runs a model without an arena, so that freed memory is given back, and prints by how much the process grew at most. */
const measure = `
  import { readFileSync, writeFileSync } from 'node:fs';
  import { InferenceSession, Tensor } from 'onnxruntime-node';
  const options = { graphOptimizationLevel: 'disabled', enableCpuMemArena: false, enableMemPattern: false };
  const session = await InferenceSession.create(process.argv[1], options);
  const shape = [1, ${channels}, ${side}, ${side}];
  const x = new Tensor('float32', new Float32Array(${channels * side * side}).fill(0.5), shape);
  const kilobytes = (field) => Number(new RegExp(field + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
  const before = kilobytes('VmRSS');
  writeFileSync('/proc/self/clear_refs', '5');
  await session.run({ x });
  console.log((kilobytes('VmHWM') - before) * 1024);
`;

/** How many tensors an operator holds at once whose operand nothing reads after it. */
async function tensorsHeld(name: string, emit: (builder: GraphBuilder, x: Value, operand: Value) => Value) {
  const builder = new GraphBuilder(name);
  const x = builder.input({ dtype: 'float32', shape: ['N', channels, side, side] }, { name: 'x', role: 'batch' });
  const result = emit(builder, x, builder.emit('exp', [x], {}));
  const [node] = builder.finish([]).nodes.slice(-1) as [Node];
  const value = builder.emit('reduceMax', [result], { axes: [0, 1, 2, 3], keepDims: false });
  const file = path(`${name}.onnx`);
  await writeFile(file, encodeGraph(builder.finish([{ name: 'y', role: 'result', value }])));
  const script = ['--input-type=module', '--eval', measure, file];
  const { stdout } = await promisify(execFile)(process.execPath, script, { cwd: process.cwd() });
  await rm(file);
  return { held: Number(stdout) / tensorBytes, inPlace: inPlaceOf(node) };
}

const attributes = { stride: [1, 1], pads: [0, 0, 0, 0], groups: channels } as const;

describe.skipIf(process.platform !== 'linux')('the runtime on the CPU', () => {
  it.each([
    ['Relu', (builder: GraphBuilder, _: Value, operand: Value) => builder.emit('relu', [operand], {})],
    [
      'HardSigmoid',
      (builder: GraphBuilder, _: Value, operand: Value) =>
        builder.emit('hardSigmoid', [operand], { alpha: 0.5, beta: 0 }),
    ],
    [
      'FusedConv',
      (builder: GraphBuilder, x: Value, operand: Value) => {
        const weight = { dtype: 'float32' as const, shape: [channels, 1, 1, 1], data: new Float32Array(channels) };
        const operands = [x, builder.constant(weight), operand];
        return builder.emit('fusedConv2d', operands, { ...attributes, adds: true, relu: false });
      },
    ],
  ])('writes over an operand of %s', async (operator, emit) => {
    const { held, inPlace } = await tensorsHeld(operator, emit);
    expect(inPlace).not.toEqual([]);
    expect(held).toBeLessThan(1.4);
  });

  it.each(['Add', 'Sub', 'Mul', 'Div', 'Sqrt', 'Neg'] as const)('does not for %s', async (operator) => {
    const { held, inPlace } = await tensorsHeld(operator, (builder, _, operand) =>
      operator === 'Sqrt' || operator === 'Neg'
        ? builder.emit(operator === 'Sqrt' ? 'sqrt' : 'neg', [operand], {})
        : builder.emit(operator.toLowerCase() as 'add', [operand, builder.scalar(2)], {}),
    );
    expect(inPlace).toEqual([]);
    expect(held).toBeGreaterThan(1.7);
  });
});
