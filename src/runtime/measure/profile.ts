/** @file Where the time of a training step goes: by operator, phase and layer, against what the machine can do. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureError } from '../../ir/index.js';
import { temporaryFolder } from '../files/atomic-file.js';
import { kernelCost } from './kernel-cost.js';
import type { NodePlaces } from './node-places.js';
import { type ProfiledRun, readProfile } from './profile-reader.js';
import type { Ceilings, StepsRequest } from './protocol.js';
import { runChild } from './run-child.js';

/** The kernels of one group; figures are for one step, the mean over the profiled ones. */
export interface ProfileGroup {
  readonly name: string;
  /** Kernels a step. */
  readonly kernels: number;
  readonly ms: number;
  /** Share of the time of all kernels, 0 to 1. */
  readonly share: number;
  /** Bytes that must be moved at least. */
  readonly bytes: number;
  readonly flops: number;
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number;
  /** Milliseconds at the machine's ceilings: of each kernel the longer of moving its bytes and computing. */
  readonly leastMs: number;
  /** `leastMs / ms`: 1 is as fast as the ceilings say, more is possible for data that stays in a cache. */
  readonly efficiency: number;
}

/** A profile summed up. */
export interface ProfileReport {
  readonly ceilings: Ceilings;
  /** Steps that were profiled, after one that was left out. */
  readonly steps: number;
  /** Milliseconds of a step under the profiler. */
  readonly stepMs: number;
  /** Milliseconds of its kernels; the rest is the runtime's own work between them. */
  readonly kernelMs: number;
  readonly total: ProfileGroup;
  readonly byOperator: readonly ProfileGroup[];
  readonly byPhase: readonly ProfileGroup[];
  readonly byLayer: readonly ProfileGroup[];
}

/**
 * Profiles a bundle's steps and the machine, each in a process of its own.
 * @param places where its nodes come from
 * @throws FailureError as measurements do
 */
export async function profileSteps(request: Omit<StepsRequest, 'kind'>, places: NodePlaces): Promise<ProfileReport> {
  const directory = await temporaryFolder('profile');
  try {
    const profilePrefix = join(directory, 'profile');
    const steps = request.steps + 1;
    await runChild({ kind: 'steps', ...request, steps, profilePrefix });
    const runs = await readProfile(profilePrefix);
    if (runs.length !== steps) {
      throw new FailureError(
        `the runtime profiled ${runs.length} of ${steps} steps: it keeps a limited number of events; give fewer --steps`,
      );
    }
    const { device, threads } = request;
    return summarizeProfile(runs.slice(1), await runChild({ kind: 'ceilings', device, threads }), places);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Sums up profiled runs of one model. @throws FailureError when no kernel was profiled */
export function summarizeProfile(runs: readonly ProfiledRun[], ceilings: Ceilings, places: NodePlaces): ProfileReport {
  const kernels = runs.flatMap((run) => run.kernels).map((kernel) => measureKernel(kernel, ceilings, places));
  const [steps, totalMs] = [runs.length, sumOf(kernels, ({ ms }) => ms)];
  if (kernels.length === 0 || totalMs === 0) throw new FailureError('the profile has no kernel in it; nothing ran');
  const group = (key: (kernel: MeasuredKernel) => string): ProfileGroup[] =>
    groupKernels(kernels, key, steps, totalMs).sort((a, b) => b.ms - a.ms);
  const [total] = group(() => 'all');
  return {
    ceilings,
    steps,
    stepMs: sumOf(runs, ({ duration }) => duration / 1000) / steps,
    kernelMs: totalMs / steps,
    total: total as ProfileGroup,
    byOperator: group(({ operator }) => operator),
    byPhase: group(({ phase }) => phase),
    byLayer: group(({ scope }) => scope || '(none)'),
  };
}

interface MeasuredKernel {
  readonly operator: string;
  readonly phase: string;
  readonly scope: string;
  readonly ms: number;
  readonly bytes: number;
  readonly flops: number;
  readonly leastMs: number;
}

/** What a kernel's place is called where nobody knows it. */
const unknown = { phase: '(not known)', scope: '(not known)' };

function measureKernel(kernel: ProfiledRun['kernels'][number], ceilings: Ceilings, places: NodePlaces): MeasuredKernel {
  const { bytes, flops } = kernelCost(kernel);
  const leastMs = 1000 * Math.max(bytes / ceilings.bytesPerSecond, flops / ceilings.flopsPerSecond);
  return {
    operator: kernel.operator,
    ...(places.get(kernel.name) ?? unknown),
    ms: kernel.duration / 1000,
    bytes,
    flops,
    leastMs,
  };
}

function groupKernels(
  kernels: readonly MeasuredKernel[],
  key: (kernel: MeasuredKernel) => string,
  steps: number,
  totalMs: number,
): ProfileGroup[] {
  const groups = new Map<string, MeasuredKernel[]>();
  for (const kernel of kernels) {
    const name = key(kernel);
    const group = groups.get(name);
    if (group) group.push(kernel);
    else groups.set(name, [kernel]);
  }
  return [...groups].map(([name, members]) => {
    const [ms, bytes, flops, leastMs] = (['ms', 'bytes', 'flops', 'leastMs'] as const).map(
      (figure) => sumOf(members, (kernel) => kernel[figure]) / steps,
    ) as [number, number, number, number];
    return {
      name,
      kernels: members.length / steps,
      ms,
      share: (ms * steps) / totalMs,
      bytes,
      flops,
      // The runtime counts whole microseconds: a group of the smallest kernels may take none at all.
      bytesPerSecond: ms > 0 ? (1000 * bytes) / ms : 0,
      flopsPerSecond: ms > 0 ? (1000 * flops) / ms : 0,
      leastMs,
      efficiency: ms > 0 ? leastMs / ms : 0,
    };
  });
}

function sumOf<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((sum, item) => sum + figure(item), 0);
}
