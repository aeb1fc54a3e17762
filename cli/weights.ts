/** @file What is told of weights that were read from a file. */

import { type LoadedWeights, listNames } from '../src/runtime/model/weights.js';
import { note } from './output.js';

/** Tells what was stripped of the names of a file's tensors, and which tensors were not used. */
export function noteNames(path: string, { prefix, unexpected }: Pick<LoadedWeights, 'prefix' | 'unexpected'>): void {
  if (prefix !== '') note(`${path}: the names begin with ${prefix}, which was stripped`);
  if (unexpected.length === 0) return;
  note(`${path}: ${unexpected.length} tensors have no place in the network and are not used: ${listNames(unexpected)}`);
}
