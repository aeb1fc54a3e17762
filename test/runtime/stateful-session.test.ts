/** @file A session that keeps state holds two copies of it, step after step, whatever the binding returns. */

import { describe, expect, it } from 'vitest';
import { floatTensor, GraphBuilder } from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import { cpu } from '../../src/runtime/devices.js';
import { StatefulSession } from '../../src/runtime/stateful-session.js';

const elements = 1 << 20;

/** Counts a large vector up by one. */
function counting(): Uint8Array {
  const builder = new GraphBuilder('counting');
  const initializer = { kind: 'constant', value: 0 } as const;
  const state = builder.input({ dtype: 'float32', shape: [elements] }, { name: 'w', role: 'parameter', initializer });
  const value = builder.emit('add', [state, builder.scalar(1)], {});
  return encodeGraph(builder.finish([{ name: 'next.w', role: 'next', of: 'w', value }]));
}

describe('a stateful session', () => {
  it('frees what the binding returns beside the buffers it was given', async () => {
    const session = await StatefulSession.open({
      model: counting(),
      device: cpu,
      threads: 1,
      optimization: 'disabled',
      memoryPattern: false,
    });
    try {
      session.setState([['w', floatTensor([elements], new Float32Array(elements))]]);
      const before = process.memoryUsage().arrayBuffers;
      for (let step = 0; step < 6; step++) {
        await session.run({ feeds: [], results: [], updates: [{ output: 'next.w', input: 'w' }] });
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * elements);
      }
      expect(session.getState()[0]?.[1].data[elements - 1]).toBe(6);
    } finally {
      await session.close();
    }
  });
});
