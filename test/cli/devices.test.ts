/** @file densec devices: what runs here, by either way to the runtime, and what mends what doesn't. */

import { describe, expect, it } from 'vitest';
import { wantedVersion } from '../../src/runtime/session/runtime-package.js';
import { densec } from '../helpers/cli.js';

interface Survey {
  readonly runtime: Readonly<Record<string, unknown>>;
  readonly devices: readonly { name: string; available: boolean; detail: string; remedy?: string }[];
  readonly kernels: { readonly available: boolean; readonly detail: string };
  readonly mpi: Survey['kernels'];
  readonly nccl: Survey['kernels'];
}

describe.each(['c', 'binding'])('devices by %s', (api) => {
  it('tells the runtime, and runs a model on the CPU', async () => {
    const result = await densec(['devices', '--json'], { env: { DENSEC_RUNTIME: api } });
    expect(result.code, result.stderr).toBe(0);
    const { runtime, devices, kernels, mpi, nccl } = result.json() as unknown as Survey;
    expect(runtime).toMatchObject({ api, version: wantedVersion, wanted: wantedVersion });
    expect(runtime.reason).toBe(api === 'c' ? undefined : 'DENSEC_RUNTIME asks for it');
    expect(runtime.providers).toEqual(expect.arrayContaining(['cpu', 'webgpu']));
    expect(devices[0]).toEqual({ name: 'cpu', available: true, detail: 'a model was run' });
    expect(devices.map(({ name }) => name)).toEqual(expect.arrayContaining(['webgpu', expect.stringMatching(/^cuda/)]));
    for (const { available, detail, remedy } of [
      ...devices,
      kernels as Survey['devices'][number],
      mpi as Survey['devices'][number],
      nccl as Survey['devices'][number],
    ]) {
      expect(detail).not.toBe('');
      if (!available) expect(remedy).toMatch(/install|run|use|nvidia-smi/);
    }
  });
});

it('shows people the same', async () => {
  const { code, stdout } = await densec(['devices']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/onnxruntime +1\.30\.0, /);
  expect(stdout).toMatch(/^yes {2}cpu +a model was run$/m);
});

it('refuses another runtime by name', async () => {
  const { code, stderr } = await densec(['devices'], { env: { DENSEC_RUNTIME: 'python' } });
  expect([code, stderr]).toEqual([2, 'error: DENSEC_RUNTIME is python; it may be c or binding\n']);
});
