/** @file Runs a lowered graph in the stock runtime and tells which nodes ran, in which order. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import type { Graph } from '../../src/ir/index.js';
import { decodeModel, encodeGraph, type ModelProto } from '../../src/onnx/index.js';
import type { Feeds, NdArray } from './evaluate.js';
import { runSession } from './runtime.js';

/** The runtime's levels of optimization. */
export const levels = ['disabled', 'basic', 'extended', 'layout', 'all'] as const;

export type Level = (typeof levels)[number];

/** A node that ran. */
export interface ProfiledNode {
  readonly name: string;
  readonly operator: string;
  /** The runtime's index of the node, which optimizations may have changed. */
  readonly index: number;
}

export interface ProfiledRun {
  readonly order: readonly ProfiledNode[];
  readonly outputs: ReadonlyMap<string, NdArray>;
  /** The model as the runtime has optimized it. */
  readonly optimized: ModelProto;
}

/** Runs a graph once. */
export async function profiledRun(graph: Graph, feeds: Feeds, level: Level): Promise<ProfiledRun> {
  const directory = await mkdtemp(join(tmpdir(), 'densec-profile-'));
  try {
    const optimizedModelFilePath = join(directory, 'optimized.onnx');
    const session = await InferenceSession.create(encodeGraph(graph), {
      graphOptimizationLevel: level,
      optimizedModelFilePath,
      enableProfiling: true,
      profileFilePrefix: join(directory, 'profile'),
      intraOpNumThreads: 1,
      // The runtime warns that a model saved at these levels may not run elsewhere; it is only read here.
      logSeverityLevel: 3,
    });
    try {
      const outputs = await runSession(session, graph, feeds);
      session.endProfiling();
      const optimized = decodeModel(await readFile(optimizedModelFilePath), optimizedModelFilePath);
      return { order: await readProfile(directory), outputs, optimized };
    } finally {
      await session.release();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly args?: { readonly op_name?: string; readonly node_index?: string };
}

const suffix = '_kernel_time';

async function readProfile(directory: string): Promise<readonly ProfiledNode[]> {
  const file = (await readdir(directory)).find((name) => name.endsWith('.json'));
  if (!file) throw new Error('the runtime wrote no profile');
  const events = JSON.parse(await readFile(join(directory, file), 'utf8')) as readonly ProfileEvent[];
  return events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith(suffix))
    .map(({ name, args }) => ({
      name: name.slice(0, -suffix.length),
      operator: args?.op_name ?? '',
      index: Number(args?.node_index),
    }));
}
