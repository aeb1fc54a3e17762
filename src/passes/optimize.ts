/** @file Appends the optimizer: the next value of every state input. */

import {
  findInput,
  GraphBuilder,
  type GraphInput,
  type GraphOutput,
  InternalError,
  int64Tensor,
  RequestError,
  type Value,
} from '../ir/index.js';
import type { Pass } from './pass.js';

/** Stochastic gradient descent as PyTorch defines it (torch.optim.SGD, dampening 0). */
export interface SgdOptions {
  /** At least 0, below 1; 0 keeps no momentum. */
  readonly momentum: number;
  /** Added to every gradient, times the parameter. */
  readonly weightDecay: number;
  readonly nesterov: boolean;
}

/** Name of the scalar input that carries the learning rate. */
export const learningRateInput = 'learning_rate';

/**
 * Replaces each gradient and observation by the next value of the input it belongs to, and counts up every counter.
 *
 * With gradient g of parameter p, momentum m and learning rate η: g ← g + weightDecay·p; m ← momentum·m + g;
 * p ← p − η·(nesterov ? g + momentum·m : m). A running statistic r observing s becomes r + share·(s − r).
 * @throws RequestError when an option is out of range
 */
export function sgd(options: SgdOptions): Pass {
  checkOptions(options);
  return {
    name: 'sgd',
    run(graph) {
      const builder = new GraphBuilder(graph.name, graph.inputs);
      for (const node of graph.nodes) builder.append(node);
      builder.origin = { scope: 'optimizer', phase: 'update' };
      const rate = builder.input({ dtype: 'float32', shape: [] }, { name: learningRateInput, role: 'scalar' });
      const updates = graph.outputs.flatMap((output): GraphOutput[] => {
        if (output.role === 'result') return [];
        const input = findInput(graph, output.of);
        if (output.role === 'gradient') return updateParameter(builder, input, output.value, rate, options);
        if (output.role === 'observation') return [updateRunning(builder, input, output.value)];
        throw new InternalError(`the output ${output.name} already updates ${output.of}`);
      });
      const counters = graph.inputs.filter(({ role }) => role === 'counter').map((input) => count(builder, input));
      const results = graph.outputs.filter(({ role }) => role === 'result');
      return builder.finish([...results, ...updates, ...counters]);
    },
  };
}

function updateParameter(
  builder: GraphBuilder,
  { name, value }: GraphInput,
  lossGradient: Value,
  rate: Value,
  { momentum, weightDecay, nesterov }: SgdOptions,
): GraphOutput[] {
  const decay = weightDecay > 0 ? scaled(builder, value, weightDecay) : undefined;
  const gradient = decay ? builder.emit('add', [lossGradient, decay], {}) : lossGradient;
  if (momentum === 0) return [next(name, descend(builder, value, gradient, rate))];
  const velocity = builder.input(value.type, {
    name: `momentum.${name}`,
    role: 'momentum',
    initializer: { kind: 'constant', value: 0 },
    parameter: name,
  });
  const nextVelocity = builder.emit('add', [scaled(builder, velocity, momentum), gradient], {});
  const direction = nesterov
    ? builder.emit('add', [gradient, scaled(builder, nextVelocity, momentum)], {})
    : nextVelocity;
  return [next(name, descend(builder, value, direction, rate)), next(`momentum.${name}`, nextVelocity)];
}

function updateRunning(builder: GraphBuilder, input: GraphInput, observed: Value): GraphOutput {
  if (input.role !== 'running') throw new InternalError(`${input.name} is observed but is no running statistic`);
  const change = scaled(builder, builder.emit('sub', [observed, input.value], {}), input.momentum);
  return next(input.name, builder.emit('add', [input.value, change], {}));
}

function count(builder: GraphBuilder, { name, value }: GraphInput): GraphOutput {
  return next(name, builder.emit('add', [value, builder.constant(int64Tensor([], [1]))], {}));
}

function descend(builder: GraphBuilder, value: Value, direction: Value, rate: Value): Value {
  return builder.emit('sub', [value, builder.emit('mul', [direction, rate], {})], {});
}

function scaled(builder: GraphBuilder, value: Value, factor: number): Value {
  return builder.emit('mul', [value, builder.scalar(factor)], {});
}

function next(name: string, value: Value): GraphOutput {
  return { name: `next.${name}`, role: 'next', of: name, value };
}

function checkOptions({ momentum, weightDecay, nesterov }: SgdOptions): void {
  if (!(momentum >= 0 && momentum < 1))
    throw new RequestError(`the momentum is ${momentum}; it must be at least 0 and below 1`);
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    throw new RequestError(`the weight decay is ${weightDecay}; it must be at least 0`);
  if (nesterov && momentum === 0) {
    throw new RequestError('Nesterov needs a momentum above 0; give one, or --no-nesterov');
  }
}
