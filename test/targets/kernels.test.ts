/** @file The tables of kernels: what they were asked of, and that nothing is written which a target has no kernel for. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { checkKernels } from '../../src/check-kernels.js';
import { compile } from '../../src/compile.js';
import { GraphBuilder, RequestError, type Value } from '../../src/ir/index.js';
import { opset } from '../../src/onnx/index.js';
import { solvers } from '../../src/passes/solvers/index.js';
import { wantedVersion } from '../../src/runtime/session/runtime-package.js';
import { type TargetName, targets } from '../../src/targets/index.js';

const networks = {
  cifar: { blockConfig: [2, 2], growthRate: 4, imageSize: 16 },
  dropout: { blockConfig: [1, 1], growthRate: 4, imageSize: 16, dropRate: 0.2 },
  imagenet: { blockConfig: [1, 1], growthRate: 4, imageSize: 33, smallInputs: false },
} as const;

const remats = Object.keys(solvers) as (keyof typeof solvers)[];

describe.each(Object.values(targets))('on $name', (target) => {
  it('the table was asked of the runtime that is installed, at the operator set that is written', () => {
    expect([target.registered.runtime, target.registered.opset]).toEqual([wantedVersion, opset]);
  });

  it.each(Object.keys(networks) as (keyof typeof networks)[])('all of %s has kernels', (name) => {
    for (const remat of remats) {
      for (const kind of ['sgd', 'adamw', 'rmsprop'] as const) {
        const options = { target: target.name, remat, optimizer: { kind, accumulate: 2 } };
        expect(compile(densenet(networks[name]), options).training.nodes.length).toBeGreaterThan(100);
      }
    }
  });
});

/** Max pooling of floats, with its indices. */
function pooled() {
  const builder = new GraphBuilder('pooled');
  const x = builder.input({ dtype: 'float32', shape: ['N', 2, 4, 4] }, { name: 'x', role: 'batch' });
  const window = { kernel: [2, 2], stride: [2, 2], pads: [0, 0, 0, 0] } as const;
  const [y, indices] = builder.emitAll('maxPool2d', [x], window) as [Value, Value];
  return builder.finish([
    { name: 'y', role: 'result', value: y },
    { name: 'indices', role: 'result', value: indices },
  ]);
}

it('a node without a kernel is refused by name', () => {
  checkKernels(pooled(), targets.cpu);
  checkKernels(pooled(), targets.cuda);
  expect(() => checkKernels(pooled(), targets.webgpu)).toThrow(
    new RequestError(
      'onnxruntime 1.30.0 has no kernel on webgpu for MaxPool (float32 > float32 int64) of forward; build the network for another target, or without the layer that needs it',
    ),
  );
});

it('every target has a table', () => {
  expect(Object.keys(targets).sort()).toEqual(['cpu', 'cuda', 'webgpu'] satisfies TargetName[]);
});
