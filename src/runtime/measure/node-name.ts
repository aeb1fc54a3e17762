/** @file What a node's name in our models says: `phase/scope/operator`, the forward phase unnamed. */

import type { Phase } from '../../ir/index.js';
import { isNext } from '../../step/interface.js';

/** Where a node comes from. */
export interface NodePlace {
  readonly phase: Phase;
  /** The layer, by its parameters' prefix; empty where a node belongs to none. */
  readonly scope: string;
}

const phases: ReadonlySet<string> = new Set<Phase>(['backward', 'recompute', 'update']);

/** The place of a node by its name. The next state, whose nodes have an output's name, is the update's. */
export function placeOf(name: string): NodePlace {
  if (isNext(name)) return { phase: 'update', scope: '' };
  const parts = name.split('/');
  const phase = phases.has(parts[0] ?? '') ? (parts.shift() as Phase) : 'forward';
  return { phase, scope: parts.slice(0, -1).join('/') };
}
