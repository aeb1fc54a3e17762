/** @file What passes and rules emit where several processes take a step together. */

import type { GraphBuilder, GraphInput, Value } from '../ir/index.js';
import { processInputs } from '../step/interface.js';

type Inputs = { readonly inputs: readonly GraphInput[] };

/** The process's share of the step's images, a float32 scalar; undefined in a step of one process. */
export function shareOf({ inputs }: Inputs): Value | undefined {
  return inputs.find(({ name }) => name === processInputs.share)?.value;
}

/** That share, as an input that is made where there is none yet. */
export function shareInput(builder: GraphBuilder): Value {
  return shareOf(builder) ?? scalarInput(builder, processInputs.share);
}

/**
 * The images of the step over all processes, a float32 scalar, where batch norm normalizes by them all; else undefined, and
 * each process normalizes by its own.
 */
export function imagesOf({ inputs }: Inputs): Value | undefined {
  return inputs.find(({ name }) => name === processInputs.images)?.value;
}

/** Lets batch norm normalize by the images of all processes. */
export function normalizeByAll(builder: GraphBuilder): void {
  shareInput(builder);
  scalarInput(builder, processInputs.images);
}

/** The sum of a value over all processes. `numberCollectives` tells such nodes apart at the end. */
export function sumOverProcesses(builder: GraphBuilder, value: Value): Value {
  return builder.emit('allReduce', [value], { index: 0 });
}

/** The elements of each channel of a batch, over all images that it is normalized by. */
export function channelCount(builder: GraphBuilder, { type: { shape } }: Value): Value {
  const images = imagesOf(builder);
  if (!images) return builder.emit('sizeOf', [], { shape: shape.filter((_, axis) => axis !== 1) });
  const positions = shape.slice(2).reduce((product: number, extent) => product * Number(extent), 1);
  return positions === 1 ? images : builder.emit('mul', [images, builder.scalar(positions)], {});
}

function scalarInput(builder: GraphBuilder, name: string): Value {
  return builder.input({ dtype: 'float32', shape: [] }, { name, role: 'scalar' });
}
