/** @file From a bundle back to what it was compiled from: its forward graph, and the plan behind its training model. */

import { join } from 'node:path';
import { densenet, traceNetwork } from '../../builders/index.js';
import { type Compiled, type CompileOptions, compileForward } from '../../compile.js';
import { FailureError, type Graph, parseGraph, RequestError } from '../../ir/index.js';
import { planMemory } from '../../memory/plan.js';
import { predictedPeak } from '../../memory/plan-record.js';
import { freezeParameters } from '../../passes/freeze.js';
import { usualLayout } from '../../passes/layout.js';
import { runPasses } from '../../passes/pass.js';
import { recordedSolver } from '../../passes/solvers/index.js';
import type { Costs } from '../../targets/index.js';
import { type Bundle, trainingHash } from './bundle.js';
import type { Manifest } from './manifest.js';
import { rebuildAdvice } from './rebuild.js';

/**
 * The forward graph of a bundle's network as it was traced, frozen parameters marked.
 * @throws FailureError for a bundle of format 1 with a network of one's own, which that format doesn't keep
 */
export function forwardGraph(bundle: Bundle): Graph {
  const { directory, manifest, forwardText } = bundle;
  if (forwardText !== undefined) return parseGraph(forwardText, join(directory, manifest.forward?.file ?? ''));
  if (!manifest.network) {
    throw new FailureError(
      `${directory} is of format ${manifest.formatVersion}, which keeps no network of one's own; ${rebuildAdvice(bundle)}`,
    );
  }
  const frozen = new Set(
    manifest.state.filter((segment) => segment.frozen).flatMap(({ tensors }) => tensors.map(({ name }) => name)),
  );
  const freeze = frozen.size > 0 ? [freezeParameters((name) => frozen.has(name))] : [];
  return runPasses(traceNetwork(densenet(manifest.network)), freeze);
}

/**
 * The compiled form of a bundle's network, from its forward graph.
 * @param costs a table to model times by, other than the target's own; the plan is the bundle's all the same
 * @throws RequestError for a policy of one's own in a bundle that doesn't keep its choice; FailureError when this version of densec
 * compiles the network to another model, or when there is no forward graph
 */
export function compileAgain(bundle: Bundle, costs?: Costs): Compiled {
  const { directory, manifest } = bundle;
  const { remat, recomputed, layout, target, kernels, optimizer, loss, models, segmentBytes } = manifest;
  const { processes = false, syncBatchNorm = false } = manifest;
  const isRecorded = remat === 'custom' || remat === 'budget';
  if (isRecorded && !recomputed) {
    throw new RequestError(
      `${directory} was compiled with a policy of one's own and doesn't say what it chose; call planMemory in its program`,
    );
  }
  const options = {
    target,
    kernels,
    processes,
    syncBatchNorm,
    optimizer,
    costs,
    ...(isRecorded ? { solver: recordedSolver(recomputed ?? [], layout ?? usualLayout) } : { remat }),
    ...(segmentBytes !== undefined && { segmentBytes }),
  };
  const compiled = compileForward(forwardGraph(bundle), loss, options);
  if (trainingHash(compiled) !== models.training.sha256) {
    throw new FailureError(
      `${directory} was built by densec ${manifest.densec}, which compiled its network otherwise; to see a plan, ${rebuildAdvice(bundle)}`,
    );
  }
  return compiled;
}

/**
 * A bundle's network compiled with other options: what they leave out is as in the bundle.
 * @throws RequestError when its policy is one's own and no other is told, or an option is out of range; FailureError
 * when there is no forward graph
 */
export function lowerAgain(
  bundle: Bundle,
  options: Pick<
    CompileOptions,
    'target' | 'kernels' | 'processes' | 'syncBatchNorm' | 'remat' | 'memory' | 'costs' | 'optimizer' | 'freeze'
  >,
): Compiled {
  const { directory, manifest } = bundle;
  const { target, kernels, optimizer, loss, segmentBytes, seed } = manifest;
  const { processes = manifest.processes ?? false } = options;
  const { syncBatchNorm = processes && manifest.syncBatchNorm === true } = options;
  const isChosen = options.remat !== undefined || options.memory !== undefined;
  if (!isChosen && manifest.remat === 'custom') {
    throw new RequestError(
      `${directory} was compiled with a policy of one's own, which can't be compiled otherwise here; choose one with --remat, or resume the run in its program`,
    );
  }
  return compileForward(forwardGraph(bundle), loss, {
    ...{ target, kernels, optimizer, seed },
    ...(segmentBytes !== undefined && { segmentBytes }),
    ...(!isChosen && rematOf(manifest)),
    ...options,
    ...{ processes, syncBatchNorm },
  });
}

/** What a manifest says of the choice what to recompute. */
function rematOf({ remat, solver }: Manifest): Pick<CompileOptions, 'remat' | 'memory'> {
  if (solver) return { memory: { budgetBytes: solver.budgetBytes, batchSize: solver.batchSize } };
  return remat === 'custom' || remat === 'budget' ? {} : { remat };
}

/**
 * Predicted live bytes at the peak of a bundle's training step, by the plan that it keeps.
 * @throws RequestError or FailureError, as `compileAgain`, for a bundle from before plans were kept
 */
export function plannedPeak(bundle: Bundle, batchSize: number): number {
  const { plan } = bundle.manifest;
  if (plan) return Math.round(predictedPeak(plan, batchSize));
  return planMemory(compileAgain(bundle).schedules.training, batchSize).peakBytes;
}
