/** @file Reading attributes and extents of operators of our own, with errors that name the value and what is expected. */

import { elementCount, InternalError, RequestError } from '../ir/index.js';
import type { Attributes, HostTensor } from './definition.js';

/** Extents from the outermost to the innermost axis. */
export type Extents = readonly number[];

/** `[2, 3]` */
export function show(extents: Extents): string {
  return `[${extents.join(', ')}]`;
}

/** An attribute that is one whole number. @throws RequestError */
export function int(attributes: Attributes, name: string): number {
  const value = attributes[name];
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  throw new RequestError(`the attribute ${name} is ${value}; it must be a whole number`);
}

/** An attribute that is one number. @throws RequestError */
export function float(attributes: Attributes, name: string): number {
  const value = attributes[name];
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new RequestError(`the attribute ${name} is ${value}; it must be a finite number`);
}

/** An attribute of whole numbers, of which none is below `least`. @throws RequestError also when there are not `length` */
export function ints(attributes: Attributes, name: string, length: number | undefined, least = 0): Extents {
  const value = attributes[name];
  const right = Array.isArray(value) && value.every((each) => Number.isInteger(each) && each >= least);
  if (right && (length === undefined || value.length === length)) return value;
  const howMany = length === undefined ? 'whole numbers' : `${length} whole numbers`;
  throw new RequestError(
    `the attribute ${name} is ${JSON.stringify(value)}; it must be ${howMany} of at least ${least}`,
  );
}

/** An attribute that is 0 or 1. @throws RequestError */
export function flag(attributes: Attributes, name: string): boolean {
  const value = int(attributes, name);
  if (value === 0 || value === 1) return value === 1;
  throw new RequestError(`the attribute ${name} is ${value}; it must be 0 or 1`);
}

/** AffineReluGrad's attribute `accumulates`: for each part, whether its gradient is added to an operand. */
export function accumulatesOf(attributes: Attributes): readonly boolean[] {
  return ints(attributes, 'accumulates', undefined).map((value) => {
    if (value === 0 || value === 1) return value === 1;
    throw new RequestError(`the attribute accumulates has the value ${value}; each must be 0 or 1`);
  });
}

/** Exactly two whole numbers. @throws RequestError */
export function pair(attributes: Attributes, name: string, least: number): readonly [number, number] {
  return ints(attributes, name, 2, least) as readonly [number, number];
}

/** An operand's extents. @throws RequestError when the node has too few operands */
export function operand(inputs: readonly Extents[], index: number, name: string): Extents {
  const extents = inputs[index];
  if (extents) return extents;
  throw new RequestError(`there are ${inputs.length} operands; operand ${index}, ${name}, is missing`);
}

/** Samples, channels and elements a channel of one sample. */
export interface Planes {
  readonly samples: number;
  readonly channels: number;
  readonly area: number;
}

/** A tensor [N, C, …] as planes. @throws RequestError below rank 2 */
export function planes(extents: Extents, name: string): Planes {
  const [samples, channels, ...rest] = extents;
  if (samples === undefined || channels === undefined) {
    throw new RequestError(`${name} has the shape ${show(extents)}; it needs at least two axes, samples and channels`);
  }
  return { samples, channels, area: elementCount(rest) };
}

/** A tensor [N, C, H, W]. @throws RequestError for another rank */
export function images(extents: Extents, name: string): readonly [number, number, number, number] {
  if (extents.length === 4) return extents as readonly [number, number, number, number];
  throw new RequestError(`${name} has the shape ${show(extents)}; it must have four axes [N, C, H, W]`);
}

/** @throws RequestError unless `extents` are the expected ones */
export function expectExtents(extents: Extents, expected: Extents, name: string): void {
  if (extents.length === expected.length && extents.every((extent, axis) => extent === expected[axis])) return;
  throw new RequestError(`${name} has the shape ${show(extents)}; the other operands ask for ${show(expected)}`);
}

/** An axis counted from the front. @throws RequestError when there is no such axis */
export function axisOf(attributes: Attributes, rank: number): number {
  const axis = int(attributes, 'axis');
  const fromFront = axis < 0 ? axis + rank : axis;
  if (fromFront >= 0 && fromFront < rank) return fromFront;
  throw new RequestError(`the axis ${axis} does not exist in a tensor of ${rank} axes`);
}

/** An element that is there. */
export function at(data: ArrayLike<number>, index: number): number {
  return data[index] as number;
}

/** A tensor that the caller was obliged to hand over. */
export function tensor(tensors: readonly HostTensor[], index: number): HostTensor {
  const found = tensors[index];
  if (!found) throw new InternalError(`a kernel was called with ${tensors.length} tensors; number ${index} is missing`);
  return found;
}
