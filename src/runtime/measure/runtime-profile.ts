/** @file What the runtime made of a model and in which order it ran that. */

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureError } from '../../ir/index.js';
import { decodeModel, type Program, programOf } from '../../onnx/index.js';
import { temporaryFolder } from '../files/atomic-file.js';
import type { Inspection } from '../session/protocol.js';
import { type KernelEvent, readProfile } from './profile-reader.js';

/** What the runtime did with a model. */
export interface Profile {
  /** The nodes of each run in the order they ran. */
  readonly runs: readonly (readonly KernelEvent[])[];
  /** The model after the runtime's optimizations, its nodes in the order of their indices there. */
  readonly program: Program;
}

/**
 * Lets a session write its profile, and reads it.
 * @param run opens a session with these files, runs it and closes it
 * @throws FailureError when the runtime wrote no profile, or one that doesn't fit its optimized model
 */
export async function profiled<T>(
  run: (files: Required<Pick<Inspection, 'profilePrefix' | 'optimizedModel'>>) => Promise<T>,
): Promise<{ readonly profile: Profile; readonly result: T }> {
  const directory = await temporaryFolder('profile');
  try {
    const files = { profilePrefix: join(directory, 'profile'), optimizedModel: join(directory, 'optimized.onnx') };
    const result = await run(files);
    const runs = (await readProfile(files.profilePrefix)).map(({ kernels }) => kernels);
    const program = programOf(decodeModel(await readFile(files.optimizedModel), files.optimizedModel));
    return { profile: { runs, program: byRuntimeIndex(program, runs) }, result };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The program with its nodes in the order of the indices that the runtime gave them. */
function byRuntimeIndex({ nodes, ...rest }: Program, runs: Profile['runs']): Program {
  const indices = new Map(runs[0]?.map(({ name, index }) => [name, index]));
  const names = new Set(nodes.map(({ name }) => name));
  if (names.size !== nodes.length) throw new FailureError('onnxruntime gave two nodes of its optimized model one name');
  const indexOf = (name: string): number => {
    const index = indices.get(name);
    if (index === undefined)
      throw new FailureError(`onnxruntime kept ${name} in its optimized model but didn't run it`);
    return index;
  };
  return { ...rest, nodes: [...nodes].sort((a, b) => indexOf(a.name) - indexOf(b.name)) };
}
