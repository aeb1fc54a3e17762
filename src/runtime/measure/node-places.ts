/** @file Where the nodes of a bundle's training model come from, as its compiler knows. */

import { DensecError, type Phase } from '../../ir/index.js';
import type { Bundle } from '../bundle/bundle.js';
import { compileAgain } from '../bundle/replan.js';

/** Where a node comes from. */
export interface NodePlace {
  readonly phase: Phase;
  /** The layer, by its parameters' prefix; empty where a node belongs to none. */
  readonly scope: string;
}

/** Places by the names that nodes have in the model. */
export type NodePlaces = ReadonlyMap<string, NodePlace>;

/** The places of a training model's nodes; none of a bundle that can't be compiled again, such as one of another version. */
export function nodePlaces(bundle: Bundle): NodePlaces {
  try {
    const { names, order } = compileAgain(bundle).schedules.training;
    return new Map(
      order.flatMap(({ node: { outputs, origin } }) =>
        outputs.flatMap((value) => {
          const name = names.get(value);
          return name === undefined ? [] : [[name, { phase: origin.phase, scope: origin.scope }] as const];
        }),
      ),
    );
  } catch (error) {
    if (error instanceof DensecError) return new Map();
    throw error;
  }
}
