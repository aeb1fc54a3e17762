/** @file Runs a lowered graph in the stock runtime and tells which nodes ran, in which order. */

import { InferenceSession } from 'onnxruntime-node';
import type { Graph } from '../../src/ir/index.js';
import { encodeGraph, type Program } from '../../src/onnx/index.js';
import type { KernelEvent } from '../../src/runtime/measure/profile-reader.js';
import { profiled } from '../../src/runtime/measure/runtime-profile.js';
import type { Feeds, NdArray } from './evaluate.js';
import { runSession } from './runtime.js';

export type ProfiledNode = KernelEvent;

/** The runtime's levels of optimization. */
export const levels = ['disabled', 'basic', 'extended', 'layout', 'all'] as const;

export type Level = (typeof levels)[number];

export interface ProfiledRun {
  readonly order: readonly ProfiledNode[];
  readonly outputs: ReadonlyMap<string, NdArray>;
  /** The model as the runtime has optimized it, its nodes in the order of their indices there. */
  readonly optimized: Program;
}

/** Runs a graph once. */
export async function profiledRun(graph: Graph, feeds: Feeds, level: Level): Promise<ProfiledRun> {
  const { profile, result } = await profiled(async ({ profilePrefix, optimizedModel }) => {
    const session = await InferenceSession.create(encodeGraph(graph), {
      graphOptimizationLevel: level,
      optimizedModelFilePath: optimizedModel,
      enableProfiling: true,
      profileFilePrefix: profilePrefix,
      intraOpNumThreads: 1,
      // The runtime warns that a model saved at these levels may not run elsewhere; it is only read here.
      logSeverityLevel: 3,
    });
    try {
      const outputs = await runSession(session, graph, feeds);
      session.endProfiling();
      return outputs;
    } finally {
      await session.release();
    }
  });
  return { order: profile.runs[0] ?? [], outputs: result, optimized: profile.program };
}
