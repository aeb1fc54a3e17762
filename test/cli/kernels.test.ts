/** @file --kernels: operators of our own are built for CUDA only, and run where the runtime's C API is. */

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const tiny = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8'];

describe('--kernels cudnn', () => {
  it('is refused for other targets', async () => {
    const { code, stderr } = await densec(['build', ...tiny, '--kernels', 'cudnn', '-o', path('cpu')]);
    expect(code).toBe(2);
    expect(stderr).toContain('kernels cudnn are for the target cuda, not cpu; add --target cuda');
  });

  it('is told by info, and takes fewer than half the nodes of plain', async () => {
    const build = ['build', ...tiny, '--target', 'cuda', '--remat', 'max'];
    const own = (await densec([...build, '--kernels', 'cudnn', '-o', path('own'), '--json'])).json();
    const plain = (await densec([...build, '-o', path('plain'), '--json'])).json();
    expect([own.kernels, plain.kernels]).toEqual(['cudnn', 'plain']);
    expect(own.nodes as number).toBeLessThan(0.5 * (plain.nodes as number));
    expect((await readFile(path('own/training_model.onnx'))).includes('AffineReluGrad')).toBe(true);
    expect((await readFile(path('plain/training_model.onnx'))).includes('AffineRelu')).toBe(false);
  });
});
