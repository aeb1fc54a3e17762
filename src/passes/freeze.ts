/** @file Marks the parameters that training leaves as they are. */

import { type Graph, RequestError } from '../ir/index.js';
import type { Pass } from './pass.js';

/** Which parameters to freeze: a predicate over their names, or the beginnings of names, whole parts between dots. */
export type Freeze = readonly string[] | ((parameter: string) => boolean);

/**
 * Marks parameters as frozen. No gradient is derived for them, and the optimizer doesn't see them, weight decay
 * included. A batch norm whose parameters are frozen still normalizes by the batch's statistics in training and still
 * updates its running ones, as PyTorch's with `requires_grad = False`.
 * @throws RequestError when a beginning fits no parameter, or nothing would be left to train
 */
export function freezeParameters(freeze: Freeze): Pass {
  return {
    name: 'freeze',
    run(graph) {
      const names = parameterNames(graph);
      const isFrozen = typeof freeze === 'function' ? freeze : freezeByPrefix(freeze, names);
      const frozen = new Set(names.filter(isFrozen));
      if (frozen.size === names.length) {
        throw new RequestError(`all ${names.length} parameters of ${graph.name} are frozen; leave some to train`);
      }
      const inputs = graph.inputs.map((input) =>
        input.role === 'parameter' && frozen.has(input.name) ? { ...input, frozen: true as const } : input,
      );
      return { ...graph, inputs };
    },
  };
}

function freezeByPrefix(prefixes: readonly string[], names: readonly string[]): (name: string) => boolean {
  const fits = (prefix: string, name: string): boolean => name === prefix || name.startsWith(`${prefix}.`);
  for (const prefix of prefixes) {
    if (names.some((name) => fits(prefix, name))) continue;
    const beginnings = [...new Set(names.map((name) => name.split('.').slice(0, 2).join('.')))];
    throw new RequestError(
      `no parameter's name begins with ${prefix}, so there is nothing to freeze; names begin with ${beginnings.join(', ')}`,
    );
  }
  return (name) => prefixes.some((prefix) => fits(prefix, name));
}

function parameterNames(graph: Graph): string[] {
  return graph.inputs.filter(({ role }) => role === 'parameter').map(({ name }) => name);
}
