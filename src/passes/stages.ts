/** @file The stages of compilation: which passes run in which order, and why. */

import type { Target } from '../targets/index.js';
import { accumulate } from './accumulate.js';
import { dropUnits, elideExpand, mergeReshapes, removeDeadCode, shareSubexpressions } from './clean.js';
import { differentiate, differentiateShare } from './differentiate.js';
import { distributeConcat, distributeNormalizers, shareStatistics } from './distribute-concat.js';
import { equalParts } from './equal-parts.js';
import { foldCenter } from './fold-center.js';
import { elideNormalizable, fuseAffine } from './fuse-affine.js';
import { fuseConvolutions } from './fuse-convolutions.js';
import { groupFeatures, groupManyFeatures } from './group-features.js';
import { type Layout, usualLayout } from './layout.js';
import { lower } from './lower.js';
import { evaluationMode, sharedTrainingMode, syncedTrainingMode, trainingMode } from './modes.js';
import { normalizeWithin } from './normalize-within.js';
import type { Pass } from './pass.js';
import { pinOrder } from './pin-order.js';
import { poolFirst } from './pool-first.js';
import { stackOperands, stackParts } from './stack.js';
import { stackExpressions } from './stack-expressions.js';
import { sumAffine } from './sum-affine.js';

/** For how many processes a step is, and by whose images batch norm normalizes. */
export type ProcessesMode = 'one' | 'several' | 'several, synchronized';

const modes: Readonly<Record<ProcessesMode, Pass>> = {
  one: trainingMode,
  several: sharedTrainingMode,
  'several, synchronized': syncedTrainingMode,
};

const clean: readonly Pass[] = [removeDeadCode, shareSubexpressions];

/**
 * From the traced forward pass to forward and backward pass: batch norm and dropout as they are in training, what
 * concatenations' readers have in common done once, then the gradients.
 * @param processes how many take a step together, and whether batch norm normalizes by the images of all
 */
export function differentiation(
  target: Target,
  { parts }: Layout = usualLayout,
  processes: ProcessesMode = 'one',
): readonly Pass[] {
  const share = fusesAffine(target)
    ? [poolFirst, groupManyFeatures(parts), shareStatistics, fuseAffine]
    : [poolFirst, groupFeatures(parts), target.normalizers === 'within' ? distributeNormalizers : distributeConcat];
  const gradients = processes === 'one' ? differentiate : differentiateShare;
  const derive = fusesAffine(target) ? [gradients, elideNormalizable, accumulate] : [gradients];
  return [modes[processes], ...clean, ...share, ...clean, ...derive, removeDeadCode, sumAffine, ...clean];
}

/** From the traced forward pass to the one of evaluation. */
export const evaluation: readonly Pass[] = [evaluationMode, ...clean];

/** Where recomputation begins, it waits for what the backward pass has still to do. */
export const ordering: readonly Pass[] = [removeDeadCode, pinOrder];

/**
 * From composite operators to those that the target has, what is done alike to small tensors done once. Equal nodes are
 * shared: copies that recomputation made aren't equal to their originals, since they wait for other values.
 */
export function lowering(target: Target): readonly Pass[] {
  return [
    elideExpand,
    normalizeWithin(target),
    lower(target),
    dropUnits,
    foldCenter(target.fusedConvolution),
    stackExpressions,
    stackOperands,
    stackParts,
    mergeReshapes,
    ...clean,
    ...partsOf(target),
    ...fusion(target),
  ];
}

function partsOf(target: Target): readonly Pass[] {
  return target.unequalParts === 'dear' ? [equalParts(target), ...clean] : [];
}

function fusion({ fusedConvolution }: Target): readonly Pass[] {
  return fusedConvolution ? [fuseConvolutions] : [];
}

function fusesAffine({ kernels }: Target): boolean {
  return kernels.has('affineRelu');
}
