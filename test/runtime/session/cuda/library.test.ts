/** @file Kernels on a card, as far as a machine without one can tell. */

import { describe, expect, it } from 'vitest';
import { FailureError, InternalError } from '../../../../src/ir/index.js';
import { ownOperators } from '../../../../src/operators/index.js';
import { requireIndexable } from '../../../../src/runtime/session/cuda/index.js';
import { kernelNames, kernelSource, partsPerLaunch } from '../../../../src/runtime/session/cuda/kernels.js';
import { installedLibraries, loadLibrary } from '../../../../src/runtime/session/cuda/libraries.js';
import { compileKernels } from '../../../../src/runtime/session/cuda/nvrtc.js';
import { Structure } from '../../../../src/runtime/session/cuda/structure.js';

/** Whether a library can be loaded here. */
function has(kind: 'driver' | 'nvrtc'): boolean {
  try {
    loadLibrary(kind, installedLibraries);
    return true;
  } catch {
    return false;
  }
}

describe('a tensor for a kernel', () => {
  it('has no more elements than 31 bits count', () => {
    expect(() => requireIndexable('Concat', [2 ** 15, 2 ** 16 - 1])).not.toThrow();
    expect(() => requireIndexable('Concat', [2 ** 15, 2 ** 16])).toThrow(
      /^Concat of a tensor \[32768, 65536\]: it has 2147483648 elements, .* 2147483647 at most; take a smaller batch/,
    );
  });
});

describe("a kernel's structure", () => {
  it('has its members where C has them', () => {
    const bytes = new Structure()
      .pointers(1n, 2n)
      .pointerArray([3n], 3)
      .words(7)
      .wordArray([8, 9], 4)
      .floats(0.5)
      .bytes();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    expect([0, 8, 16, 24, 32].map((at) => view.getBigUint64(at, true))).toEqual([1n, 2n, 3n, 0n, 0n]);
    expect([40, 44, 48, 52, 56].map((at) => view.getUint32(at, true))).toEqual([7, 8, 9, 0, 0]);
    expect(view.getFloat32(60, true)).toBe(0.5);
    expect(bytes.length).toBe(64);
  });

  it('refuses what no kernel takes', () => {
    expect(() => new Structure().words(1.5)).toThrow(InternalError);
    expect(() => new Structure().words(2 ** 31)).toThrow('no 31-bit number');
    expect(() => new Structure().wordArray([1, 2], 1)).toThrow('too many values');
  });

  it('fits into the parameters of a launch', () => {
    // The largest: three arrays of pointers, first channels and flags of parts.
    expect(8 * (8 + 3 * partsPerLaunch) + 4 * (5 + partsPerLaunch + 1 + partsPerLaunch)).toBeLessThanOrEqual(4096);
  });
});

describe('the kernels', () => {
  it('are named in their text, one element at a time and four', () => {
    expect(kernelNames).toContain('affineReluGrad4');
    for (const name of kernelNames.filter((each) => each.endsWith('4'))) {
      expect(kernelNames).toContain(`${name.slice(0, -1)}1`);
    }
    expect(new Set(kernelNames).size).toBe(kernelNames.length);
    // Twelve with kernels here; processes meet on the host.
    expect(Object.keys(ownOperators)).toHaveLength(13);
  });

  it.skipIf(!has('nvrtc'))('compile for an H100 (left out without NVRTC)', () => {
    expect(compileKernels(kernelSource, 90, installedLibraries).length).toBeGreaterThan(10_000);
  });

  it.skipIf(has('driver'))('say what is missing where there is no driver', async () => {
    const { openDeviceLibrary } = await import('../../../../src/runtime/session/cuda/index.js');
    const open = () => openDeviceLibrary({ tf32: true, workspaceBytes: 0 });
    expect(open).toThrow(FailureError);
    expect(open).toThrow(/libcuda\.so\.1.*install the NVIDIA driver/);
  });
});
