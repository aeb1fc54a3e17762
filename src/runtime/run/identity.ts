/** @file What a run is: its forward graph, its optimizer and its state. All else of its models may be compiled anew. */

import { z } from 'zod';
import { lossDifference, lossSchema } from '../../builders/losses/index.js';
import { given } from '../../choices.js';
import type { Compiled } from '../../compile.js';
import { optimizerSchema } from '../../passes/optimizers/index.js';
import type { Segment } from '../../passes/pack-state.js';
import { type Bundle, forwardTextOf, sha256 } from '../bundle/bundle.js';

/** What must be the same for a run to go on with another training model. */
export const identitySchema = z.object({
  /** Hash of the forward graph's text. */
  forward: z.string(),
  optimizer: optimizerSchema,
  /** Absent in checkpoints from before it could be chosen. */
  loss: lossSchema.optional(),
  /** Hash of the state's names, shapes, types and of what is frozen; how the tensors are packed doesn't matter. */
  state: z.string(),
});

/** What must be the same for a run to go on with another training model. */
export type RunIdentity = z.infer<typeof identitySchema>;

const optionalNumber = z.number().optional();

/** How the training model was compiled, which may change while a run goes on. */
export const loweringSchema = z.object({
  target: z.string(),
  kernels: z.string(),
  /** Whether it is for several processes; said only where it is. */
  processes: z.literal(true).optional(),
  /** Whether batch norm normalizes by the images of all of them; likewise. */
  syncBatchNorm: z.literal(true).optional(),
  remat: z.string(),
  /** Version of densec. */
  densec: z.string(),
  /** What of the optimizer leaves its state as it is: limits of the gradients, and the decay of an average. */
  clipNorm: optionalNumber,
  clipValue: optionalNumber,
  ema: optionalNumber,
});

/** How a training model was compiled. */
export type Lowering = z.infer<typeof loweringSchema>;

/** The identity of a run that trains a bundle; none where the bundle keeps no forward graph (format 1). */
export function bundleIdentity({ manifest: { forward, optimizer, loss, state } }: Bundle): RunIdentity | undefined {
  return forward && { forward: forward.sha256, optimizer, loss, state: stateHash(state) };
}

/** The identity of a run that trains a network compiled just now. */
export function compiledIdentity(compiled: Compiled): RunIdentity {
  const { optimizer, loss, segments } = compiled;
  return { forward: sha256(Buffer.from(forwardTextOf(compiled))), optimizer, loss, state: stateHash(segments) };
}

/** In what two runs differ, in words; undefined where they are of one identity. */
export function identityDifference(before: RunIdentity, after: RunIdentity): string | undefined {
  const [old, now] = [before.optimizer, after.optimizer] as unknown as Record<string, unknown>[];
  const keys = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])].filter(
    (key) => !(key in loweringSchema.shape),
  );
  const options = keys.filter((key) => String(old?.[key]) !== String(now?.[key]));
  const loss = before.loss && after.loss && lossDifference(before.loss, after.loss);
  const averages = [old, now].map((each) => each?.ema !== undefined);
  const differences = [
    // The loss is part of the graph.
    ...(loss === undefined ? [] : [`the loss (${loss})`]),
    ...(before.forward === after.forward || loss !== undefined ? [] : ['the network']),
    ...(options.length === 0
      ? []
      : [`the optimizer (${options.map((key) => `${key} ${old?.[key]}, not ${now?.[key]}`).join('; ')})`]),
    ...(averages[0] === averages[1] ? [] : [averaging(averages[1] === true)]),
    ...(before.state === after.state || before.forward !== after.forward || averages[0] !== averages[1]
      ? []
      : ["the state's tensors"]),
  ];
  return differences.length === 0 ? undefined : differences.join(' and ');
}

/** How a bundle's training model was compiled. */
export function loweringOf({ manifest }: Bundle): Lowering {
  const { target, kernels, processes, syncBatchNorm, remat, densec, optimizer } = manifest;
  const { clipNorm, clipValue, ema } = optimizer;
  return {
    target,
    kernels,
    ...given({ processes, syncBatchNorm }),
    remat,
    densec,
    ...given({ clipNorm, clipValue, ema }),
  };
}

/** Why an average can't begin or end within a run. */
function averaging(begins: boolean): string {
  return begins
    ? 'the average of the weights (ema), which is kept from the first step on and has no state here'
    : 'the average of the weights (ema), which its best weights are, and which would be given up';
}

/** From one way of compiling to another, in words: `remat none → max`. */
export function describeLowering(before: Lowering | undefined, after: Lowering): string {
  const { target, kernels, remat } = after;
  if (!before) return `target ${target}, kernels ${kernels}, remat ${remat}`;
  const keys = Object.keys(loweringSchema.shape) as (keyof Lowering)[];
  const changed = keys.filter((key) => before[key] !== after[key]);
  const word = (value: Lowering[keyof Lowering]): string =>
    value === undefined ? 'none' : value === true ? 'yes' : String(value);
  return (
    changed.map((key) => `${key} ${word(before[key])} → ${word(after[key])}`).join(', ') ||
    'the same options, another model'
  );
}

function stateHash(segments: readonly Segment[]): string {
  const lines = segments.flatMap(({ role, dtype, frozen, tensors }) =>
    tensors.map(({ name, shape }) => `${name} ${role} ${dtype} ${shape.join('x')}${frozen ? ' frozen' : ''}`),
  );
  return sha256(Buffer.from(lines.sort().join('\n')));
}
