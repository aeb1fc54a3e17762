/** @file What is told of weights that were read from a file. */

import { listNames } from '../src/runtime/weights.js';
import { note } from './output.js';

/** Tells which of a file's tensors were not used. */
export function noteUnexpected(path: string, unexpected: readonly string[]): void {
  if (unexpected.length === 0) return;
  note(`${path}: ${unexpected.length} tensors have no place in the network and are not used: ${listNames(unexpected)}`);
}
