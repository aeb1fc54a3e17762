/** @file How to make a bundle anew: the command that builds it, or its program. */

import { denseNetConfig } from '../../builders/index.js';
import { defaultLossName, lossFlags } from '../../builders/losses/index.js';
import { resolveOptimizer } from '../../passes/optimizers/index.js';
import type { Bundle } from './bundle.js';
import type { Manifest } from './manifest.js';

/** What to do to make a bundle anew with this version, as the end of a sentence. */
export function rebuildAdvice({ directory, manifest }: Bundle): string {
  if (!manifest.network || manifest.remat === 'custom') {
    return `run the program that wrote it again (compile and writeBundle), since its network${manifest.network ? "'s policy" : ''} is one's own`;
  }
  return `build it again with ${buildCommand(directory, manifest, manifest.network)}`;
}

/** The command line of a bundle that holds a DenseNet; what is the default is left out. */
function buildCommand(directory: string, manifest: Manifest, network: NonNullable<Manifest['network']>): string {
  const { blockConfig, growthRate } = network;
  const { kind } = manifest.optimizer;
  const frozen = frozenPrefixes(manifest);
  const flags = [
    ...flagsOf({ blockConfig }, {}),
    ...flagsOf({ growthRate }, denseNetConfig({ blockConfig })),
    ...flagsOf(network, denseNetConfig({ blockConfig, growthRate })),
    ...(manifest.solver
      ? [`--memory-budget ${manifest.solver.budgetBytes}`, `--batch-size ${manifest.solver.batchSize}`]
      : flagsOf({ remat: manifest.remat }, { remat: 'none' })),
    ...flagsOf(
      { target: manifest.target, kernels: manifest.kernels, seed: manifest.seed },
      { target: 'cpu', kernels: 'plain', seed: 0 },
    ),
    ...flagsOf({ optimizer: kind }, { optimizer: 'sgd' }),
    ...flagsOf(manifest.optimizer, { ...resolveOptimizer({ kind }) }),
    ...lossFlagsOf(manifest),
    ...flagsOf({ freeze: frozen }, { freeze: [] }),
  ];
  return ['densec build', ...flags, `-o ${directory}`, '--force'].join(' ');
}

/** Flags for what departs from the plain cross-entropy. */
function lossFlagsOf({ loss }: Manifest): string[] {
  const values: Readonly<Record<string, unknown>> = loss;
  const told = lossFlags().filter(
    ({ key, of, fallback }) => of === loss.kind && values[key] !== undefined && values[key] !== fallback,
  );
  return [
    ...flagsOf({ loss: loss.kind }, { loss: defaultLossName }),
    ...told.map(({ key, choice }) => `${choice.flag.split(' ')[0]} ${String(values[key])}`),
  ];
}

/** Flags for what departs from the defaults; option names are the flags', but for epsilon. */
function flagsOf(given: object, defaults: object): string[] {
  const usual = new Map(Object.entries(defaults).map(([name, value]) => [name, String(value)]));
  return Object.entries(given)
    .filter(([name, value]) => usual.get(name) !== String(value))
    .map(([name, value]) => {
      const flag = name === 'epsilon' ? 'eps' : name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      return typeof value === 'boolean' ? `--${value ? '' : 'no-'}${flag}` : `--${flag} ${String(value)}`;
    });
}

/** The shortest beginnings of names, whole parts, that frozen parameters have and no others. */
function frozenPrefixes({ state }: Manifest): readonly string[] {
  const namesOf = (frozen: boolean): string[] =>
    state.flatMap((segment) =>
      segment.role === 'parameter' && (segment.frozen ?? false) === frozen
        ? segment.tensors.map(({ name }) => name)
        : [],
    );
  const trained = namesOf(false);
  const prefixes = namesOf(true).map((name) => {
    const parts = name.split('.');
    const beginnings = parts.map((_, index) => parts.slice(0, index + 1).join('.'));
    return beginnings.find((prefix) => !trained.some((other) => other.startsWith(`${prefix}.`))) ?? name;
  });
  return [...new Set(prefixes)];
}
