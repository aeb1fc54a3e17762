/** @file The predicted live peak against a process whose allocator gives back at once what is freed. Linux only. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { planMemory } from '../../src/memory/plan.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import { temporaryFolder } from '../helpers/cli.js';

const run = promisify(execFile);
const path = temporaryFolder();
const batchSize = 64;

/**
 * Steps without the runtime's arena; prints by how much the process grew over its size before the last one, and the bytes of
 * the inputs, which it had by then.
 */
const script = `
  const { InferenceSession, Tensor } = require('onnxruntime-node');
  const { readFileSync, writeFileSync } = require('node:fs');
  const [model, batchSize] = process.argv.slice(1);
  const size = (name) => 1024 * Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
  const arrays = { float32: Float32Array, int64: BigInt64Array };
  (async () => {
    const session = await InferenceSession.create(model, {
      graphOptimizationLevel: 'disabled', enableCpuMemArena: false, enableMemPattern: false, intraOpNumThreads: 1,
    });
    const feeds = (count) => Object.fromEntries(session.inputMetadata.map(({ name, type, shape }) => {
      const extents = shape.map((dim) => (typeof dim === 'number' ? dim : count));
      const data = new arrays[type](extents.reduce((product, extent) => product * extent, 1));
      if (type === 'float32') data.forEach((_, index) => { data[index] = 0.1 + ((index * 37) % 101) / 101; });
      return [name, new Tensor(type, data, extents)];
    }));
    await session.run(feeds(2));
    const inputs = feeds(Number(batchSize));
    const before = size('VmRSS');
    writeFileSync('/proc/self/clear_refs', '5');
    await session.run(inputs);
    const bytes = Object.values(inputs).reduce((sum, { data }) => sum + data.byteLength, 0);
    console.log(JSON.stringify({ growth: size('VmHWM') - before, inputs: bytes }));
    await session.release();
  })();
`;

describe.skipIf(process.platform !== 'linux')('the predicted live peak of BC-40', () => {
  it.each(['none', 'efficient', 'max'] as const)('is near that of the process, recomputing %s', async (remat) => {
    const network = densenet({ depth: 40 });
    const compiled = compile(network, { remat });
    const { training } = await writeBundle(path(remat), network, compiled);
    const { stdout } = await run(process.execPath, ['-e', script, training, String(batchSize)], {
      // Every tensor in pages of its own, given back when it is freed.
      env: {
        ...process.env,
        MALLOC_MMAP_THRESHOLD_: '16384',
        MALLOC_TRIM_THRESHOLD_: '16384',
        MALLOC_MMAP_MAX_: '1000000',
      },
    });
    const { growth, inputs } = JSON.parse(stdout) as { growth: number; inputs: number };
    const predicted = planMemory(compiled.training, batchSize).peakBytes;
    expect(Math.abs((growth + inputs) / predicted - 1), `${growth + inputs} against ${predicted}`).toBeLessThan(0.15);
  });
});
