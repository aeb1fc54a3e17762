/** @file Whether sessions on WebGPU can be opened here: it takes a Vulkan driver, such as SwiftShader of Debian's chromium. */

import { GraphBuilder } from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import type { Device } from '../../src/runtime/session/devices.js';
import { openSession } from '../../src/runtime/session/open-session.js';

/** The device, where the runtime's C API can open a session on it. */
export const webgpu: Device | undefined = await opened({ target: 'webgpu', index: 0 });

async function opened(device: Device): Promise<Device | undefined> {
  const builder = new GraphBuilder('one');
  const x = builder.input({ dtype: 'float32', shape: ['N'] }, { name: 'x', role: 'batch' });
  const graph = builder.finish([{ name: 'y', role: 'result', value: builder.emit('relu', [x], {}) }]);
  const model = encodeGraph(graph);
  try {
    const session = await openSession({ model, device, threads: 1, optimization: 'disabled', memoryPattern: false });
    const { api } = session.facts;
    await session.close();
    return api === 'c' ? device : undefined;
  } catch {
    // No driver, no adapter, or a platform whose C API was not tried.
    return undefined;
  }
}
