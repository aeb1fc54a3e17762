/** @file Compiles a bundle's network again, to see the plan behind its training model. */

import { densenet } from '../builders/index.js';
import { type Compiled, compile } from '../compile.js';
import { FailureError, RequestError } from '../ir/index.js';
import { type Bundle, trainingHash } from './bundle.js';

/**
 * The compiled form of a bundle's network, from its manifest.
 * @throws RequestError for a network or policy of one's own, which a manifest can't hold; FailureError when this
 * version of densec compiles the network to another model
 */
export function compileAgain({ directory, manifest }: Bundle): Compiled {
  const { network, remat, target, kernels, optimizer, models } = manifest;
  if (!network || remat === 'custom') {
    throw new RequestError(
      `${directory} holds a network or policy of one's own, which only its program can build; call planMemory there`,
    );
  }
  const frozen = new Set(
    manifest.state.filter((segment) => segment.frozen).flatMap(({ tensors }) => tensors.map(({ name }) => name)),
  );
  const freeze = frozen.size > 0 ? (name: string): boolean => frozen.has(name) : undefined;
  const compiled = compile(densenet(network), { target, kernels, remat, optimizer, freeze });
  if (trainingHash(compiled) !== models.training.sha256) {
    throw new FailureError(
      `${directory} was built by densec ${manifest.densec}, which compiled its network otherwise; build it again to see a plan`,
    );
  }
  return compiled;
}
