/** @file The facts of a bundle, as build and info tell them. */

import { describeOptimizer } from '../src/passes/optimizers/index.js';
import type { Bundle } from '../src/runtime/bundle.js';
import { describeChoice, sessionChoices } from '../src/runtime/session-choice.js';
import { printFacts, printJson } from './output.js';

/** Prints what a bundle is. */
export function printBundle({ directory, manifest }: Bundle, json: boolean): void {
  const { models, state, network, plan: _, ...facts } = manifest;
  const frozen = state.reduce((sum, segment) => sum + (segment.frozen ? segment.length : 0), 0);
  if (json) {
    const nodes = models.training.nodes;
    printJson({
      directory,
      ...facts,
      network,
      frozen,
      nodes,
      evaluationNodes: models.evaluation.nodes,
      segments: state.length,
      session: sessionChoices.training,
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
    ['classes', facts.classes],
    ['recomputed', facts.remat === 'none' ? 'nothing' : facts.remat],
    [
      'target',
      facts.kernels === 'plain' ? facts.target : `${facts.target}, with densec's own kernels for ${facts.kernels}`,
    ],
    ['optimizer', describeOptimizer(optimizer)],
    ['nodes', models.training.nodes],
    ['runs with', describeChoice(sessionChoices.training)],
    ['nodes to evaluate', models.evaluation.nodes],
    ['built by', `densec ${facts.densec} for onnxruntime ${facts.onnxruntime}, format ${facts.formatVersion}`],
  ]);
}
