/** @file How weights are updated: the optimizers, their defaults and limits, and the state they keep. */

import { checkNames, checkValue, oneOf, RequestError, show } from '../ir/index.js';

/** What every optimizer has. */
interface Common {
  /** sgd: added to every gradient, times the parameter; adamw: share of a parameter lost a step, times the rate. */
  readonly weightDecay: number;
  /** Whether decay reaches vectors too: batch norm's scale and shift, and biases. */
  readonly decayNormBias: boolean;
  /** Batches whose mean gradient makes one update. */
  readonly accumulate: number;
}

/** Stochastic gradient descent as PyTorch defines it (torch.optim.SGD, dampening 0). */
export interface SgdOptions extends Common {
  readonly kind: 'sgd';
  /** At least 0, below 1; 0 keeps no momentum. */
  readonly momentum: number;
  readonly nesterov: boolean;
}

/** Adam with decoupled weight decay as PyTorch defines it (torch.optim.AdamW). */
export interface AdamwOptions extends Common {
  readonly kind: 'adamw';
  /** What the averages of the gradient and of its square keep of themselves in a step. */
  readonly betas: readonly [number, number];
  /** Added to the root of the averaged square. */
  readonly epsilon: number;
}

export type OptimizerOptions = SgdOptions | AdamwOptions;

/** An optimizer where only what departs from the defaults is said; `sgd` unless `kind` is. */
export type OptimizerChoice = Partial<SgdOptions> | (Partial<AdamwOptions> & { readonly kind: 'adamw' });

const common = { decayNormBias: true, accumulate: 1 } as const;

/** The seed's optimizer: Nesterov momentum 0.9, weight decay 1e-4. */
export const defaultOptimizer: SgdOptions = {
  kind: 'sgd',
  momentum: 0.9,
  weightDecay: 1e-4,
  nesterov: true,
  ...common,
};

/** PyTorch's defaults. */
const defaultAdamw: AdamwOptions = { kind: 'adamw', betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.01, ...common };

/** A choice with its defaults. @throws RequestError when there is no such option, or one is out of range */
export function resolveOptimizer(choice: OptimizerChoice = {}): OptimizerOptions {
  checkValue('optimizer: kind', choice.kind ?? defaultOptimizer.kind, oneOf('sgd', 'adamw'));
  checkChoice(choice, choice.kind === 'adamw' ? defaultAdamw : defaultOptimizer);
  const options = choice.kind === 'adamw' ? { ...defaultAdamw, ...choice } : { ...defaultOptimizer, ...choice };
  checkCommon(options);
  if (options.kind === 'sgd') checkSgd(options);
  else checkAdamw(options);
  return options;
}

/**
 * What an optimizer keeps of each parameter, as prefixes of the parameter's name: `momentum.` the averaged gradient,
 * `variance.` its averaged square, `accumulated.` what the batches since the last update add up to.
 */
export function parameterState(options: OptimizerOptions): readonly string[] {
  const own = options.kind === 'adamw' ? ['momentum.', 'variance.'] : options.momentum > 0 ? ['momentum.'] : [];
  return options.accumulate > 1 ? [...own, 'accumulated.'] : own;
}

/** Scalars that adamw keeps: the sum of the weights behind each of its averages, which begin at 0. */
export const correctionNames = ['optimizer.momentum_weight', 'optimizer.variance_weight'] as const;

/** Requires of a choice that its options are of the optimizer, and of the kind that the defaults are. */
function checkChoice(choice: OptimizerChoice, defaults: OptimizerOptions): void {
  checkNames(`optimizer ${defaults.kind}`, choice, Object.keys(defaults));
  for (const [name, value] of Object.entries(defaults)) {
    const given: unknown = Object.hasOwn(choice, name) ? choice[name as keyof OptimizerChoice] : value;
    const isLike = Array.isArray(value)
      ? Array.isArray(given) && given.length === value.length && given.every((entry) => typeof entry === 'number')
      : typeof given === typeof value;
    if (isLike) continue;
    throw new RequestError(
      `optimizer ${defaults.kind}: ${name} is ${show(given)}; it must be like its default, ${show(value)}`,
    );
  }
}

function checkCommon({ weightDecay, accumulate }: OptimizerOptions): void {
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    throw new RequestError(`the weight decay is ${weightDecay}; it must be at least 0`);
  if (!(Number.isInteger(accumulate) && accumulate >= 1))
    throw new RequestError(`an update takes ${accumulate} batches; it must be a whole number of at least 1`);
}

function checkSgd({ momentum, nesterov }: SgdOptions): void {
  if (!(momentum >= 0 && momentum < 1))
    throw new RequestError(`the momentum is ${momentum}; it must be at least 0 and below 1`);
  if (nesterov && momentum === 0) {
    throw new RequestError('Nesterov needs a momentum above 0; give one, or --no-nesterov');
  }
}

function checkAdamw({ betas, epsilon }: AdamwOptions): void {
  for (const beta of betas) {
    if (!(beta >= 0 && beta < 1)) throw new RequestError(`a beta is ${beta}; both must be at least 0 and below 1`);
  }
  if (!(epsilon > 0 && Number.isFinite(epsilon))) throw new RequestError(`epsilon is ${epsilon}; it must be above 0`);
}
