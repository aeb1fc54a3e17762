/** @file Nodes on the host of a session on a device: those that read floats of a batch are refused, by name. */

import { describe, expect, it } from 'vitest';
import { GraphBuilder, RequestError } from '../../../src/ir/index.js';
import { decodeModel, encodeGraph } from '../../../src/onnx/index.js';
import { batchReaders, refuseHostNodes } from '../../../src/runtime/session/host-nodes.js';
import type { PlacedNode } from '../../../src/runtime/session/model-session.js';
import { openSession } from '../../../src/runtime/session/open-session.js';
import { webgpu } from '../../helpers/webgpu.js';

/** Floats of a batch and weights, labels, an extent and a sum of whole numbers. */
function model(): Uint8Array {
  const builder = new GraphBuilder('mixed');
  const x = builder.input({ dtype: 'float32', shape: ['N', 4] }, { name: 'x', role: 'batch' });
  const labels = builder.input({ dtype: 'int64', shape: ['N'] }, { name: 'labels', role: 'batch' });
  const weight = builder.input(
    { dtype: 'float32', shape: [4] },
    { name: 'w', role: 'parameter', initializer: { kind: 'constant', value: 0 } },
  );
  const relu = builder.emit('relu', [x], {});
  const twice = builder.emit('neg', [relu], {});
  const size = builder.emit('shape', [x], { start: 0, end: 1 });
  return encodeGraph(
    builder.finish([
      { name: 'y', role: 'result', value: builder.emit('exp', [twice], {}) },
      { name: 'size', role: 'result', value: size },
      { name: 'same', role: 'result', value: builder.emit('add', [labels, labels], {}) },
      { name: 'decayed', role: 'result', value: builder.emit('mul', [weight, weight], {}) },
    ]),
  );
}

const readers = batchReaders(decodeModel(model(), 'the model'));
const where = { source: 'training_model.onnx', device: 'webgpu' };
const placed = (...names: string[]): PlacedNode[] => {
  const nodes = decodeModel(model(), 'the model').graph?.node ?? [];
  return names.map((name) => ({ name, operator: nodes.find((node) => node.name === name)?.opType ?? 'Gather' }));
};

describe('nodes on the host', () => {
  it('are refused where they read floats of a batch', () => {
    expect([...readers].sort()).toEqual(['neg', 'relu', 'y']);
    expect(() => refuseHostNodes(readers, placed('size', 'relu', 'neg'), where)).toThrow(
      new RequestError(
        'training_model.onnx: onnxruntime has no kernel on webgpu for Relu relu, Neg neg, so the batch would be copied to the host and back in every step; build it with --target webgpu, or run it all the same with --allow-host-nodes',
      ),
    );
    expect(() => refuseHostNodes(readers, placed('relu', 'neg', 'y', 'relu'), where)).toThrow(/Exp y and 1 more, so/);
  });

  it('are fine where they read extents, labels or weights, or were made by the runtime', () => {
    expect(() => refuseHostNodes(readers, placed('size', 'same', 'decayed', 'Gather_token_1'), where)).not.toThrow();
  });
});

/** A batched product with a transposed operand, which WebGPU has no kernel for. */
function withoutKernel(): Uint8Array {
  const builder = new GraphBuilder('product');
  const x = builder.input({ dtype: 'float32', shape: ['N', 4, 4] }, { name: 'x', role: 'batch' });
  const value = builder.emit('matMul', [x, x], { transposeA: false, transposeB: true });
  return encodeGraph(builder.finish([{ name: 'y', role: 'result', value }]));
}

describe.skipIf(webgpu === undefined)('on WebGPU', () => {
  const request = { threads: 1, optimization: 'disabled', memoryPattern: false, model: withoutKernel() } as const;

  it('a model with such a node is not opened, unless that is allowed', async () => {
    if (!webgpu) return;
    await expect(openSession({ ...request, device: webgpu })).rejects.toThrow(/no kernel on webgpu for FusedMatMul y,/);
    const session = await openSession({ ...request, device: webgpu, allowHostNodes: true });
    expect(session.onHost?.map(({ operator }) => operator)).toContain('FusedMatMul');
    await session.close();
  });
});
