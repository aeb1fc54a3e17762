/** @file The facts of a bundle, as build and info tell them. */

import { describeLoss, taskOf } from '../src/builders/losses/index.js';
import { describeOptimizer } from '../src/passes/optimizers/index.js';
import type { Bundle } from '../src/runtime/bundle/bundle.js';
import type { Manifest } from '../src/runtime/bundle/manifest.js';
import { plannedPeak } from '../src/runtime/bundle/replan.js';
import { describeChoice, sessionChoices } from '../src/runtime/session/session-choice.js';
import { tasks } from '../src/step/tasks.js';
import { defaultCosts } from '../src/targets/index.js';
import { megabytes, printFacts, printJson } from './output.js';

/** A budget and what is proven of the plan within it, in a line. */
function describeBudget({
  budgetBytes,
  batchSize,
  peakBytes,
  status,
  gap,
  costs,
}: NonNullable<Manifest['solver']>): string {
  const quality = status === 'optimal' ? 'none faster fits' : `at most ${(100 * gap).toFixed(2)} % from the fastest`;
  const table = costs === defaultCosts ? '' : `, by costs ${costs}`;
  return `${megabytes(budgetBytes)} at batch size ${batchSize}: ${megabytes(peakBytes)}, ${quality}${table}`;
}

/** Prints what a bundle is, with the live peak that is predicted for a batch size. */
export function printBundle(bundle: Bundle, json: boolean, batchSize?: number): void {
  const { directory, manifest } = bundle;
  const { models, state, network, plan, ...facts } = manifest;
  // Bundles from before plans were kept don't say.
  const recomputed = plan?.recompute.length ?? null;
  const frozen = state.reduce((sum, segment) => sum + (segment.frozen ? segment.length : 0), 0);
  if (json) {
    const nodes = models.training.nodes;
    printJson({
      directory,
      ...facts,
      network,
      frozen,
      nodes,
      recomputed,
      evaluationNodes: models.evaluation.nodes,
      segments: state.length,
      session: sessionChoices.training,
      ...(batchSize !== undefined && { batchSize, predictedLivePeakBytes: plannedPeak(bundle, batchSize) }),
    });
    return;
  }
  const { optimizer, inputShape } = facts;
  printFacts([
    ['network', facts.name],
    ['parameters', facts.parameters],
    ...(frozen > 0 ? [['of them frozen', frozen] as const] : []),
    ['layers', facts.layers],
    ['input', `[N, ${inputShape.join(', ')}]`],
    [tasks[taskOf(facts.loss)].outputs, facts.classes],
    [
      'recomputed',
      facts.remat === 'none' ? 'nothing' : `${facts.remat}${recomputed === null ? '' : ` (${recomputed} nodes)`}`,
    ],
    ...(facts.solver ? [['within', describeBudget(facts.solver)] as const] : []),
    [
      'target',
      facts.kernels === 'plain' ? facts.target : `${facts.target}, with densec's own kernels for ${facts.kernels}`,
    ],
    ['loss', describeLoss(facts.loss)],
    ...(facts.processes
      ? [['processes', facts.syncBatchNorm ? 'several, with batch norm over all' : 'several'] as const]
      : []),
    ['optimizer', describeOptimizer(optimizer)],
    ['nodes', models.training.nodes],
    ...(batchSize === undefined
      ? []
      : [[`live peak at batch size ${batchSize}`, megabytes(plannedPeak(bundle, batchSize))] as const]),
    ['runs with', describeChoice(sessionChoices.training)],
    ['nodes to evaluate', models.evaluation.nodes],
    ['built by', `densec ${facts.densec} for onnxruntime ${facts.onnxruntime}, format ${facts.formatVersion}`],
  ]);
}
