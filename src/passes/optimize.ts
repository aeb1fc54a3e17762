/** @file Appends the optimizer: the next value of every state input. */

import {
  findInput,
  GraphBuilder,
  type GraphInput,
  type GraphOutput,
  InternalError,
  int64Tensor,
  type Value,
} from '../ir/index.js';
import { type AdamwOptions, correctionNames, type OptimizerOptions, type SgdOptions } from './optimizer-options.js';
import type { Segment } from './pack-state.js';
import type { Pass } from './pass.js';

/** Name of the scalar input that carries the learning rate. */
export const learningRateInput = 'learning_rate';

/** Names of the scalar inputs of a graph that accumulates gradients. */
export const accumulationInputs = {
  /** The batch's share of the update's mean gradient. */
  share: 'gradient_share',
  /** 1 where the update happens after this batch, 0 where more batches come first. */
  apply: 'apply',
} as const;

/**
 * Replaces each gradient and observation by the next value of the input it belongs to, and counts up every counter.
 * What updates one parameter depends on no other's gradient, so it can run as soon as its own is there.
 *
 * With gradient g of parameter p and learning rate η:
 * - sgd: g ← g + weightDecay·p; m ← momentum·m + g; p ← p − η·(nesterov ? g + momentum·m : m).
 * - adamw: p ← p·(1 − η·weightDecay); m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
 *   p ← p − η·(m / w₁) / (√(v / w₂) + ε), where w₁ and w₂ are the same averages taken of the constant 1, which is
 *   PyTorch's 1 − βᵗ without a power and without cancellation.
 *
 * Where gradients accumulate, g is a ← a + share·g of the batches since the last update, and the scalar `apply` is 1
 * in the step that updates. In others it is 0, and every state but a stays as it is, bit for bit. Running statistics
 * and counters follow every batch. A running statistic r observing s becomes r + share·(s − r).
 * @param segments how the state is packed, where it is: tells which parameters decay
 */
export function optimize(options: OptimizerOptions, segments: readonly Segment[] = []): Pass {
  const undecayed = new Set(segments.filter(({ decay }) => decay === false).map(({ name }) => name));
  return {
    name: options.kind,
    run(graph) {
      const builder = new GraphBuilder(graph.name, graph.inputs);
      for (const node of graph.nodes) builder.append(node);
      builder.origin = { scope: 'optimizer', phase: 'update' };
      const update = new Update(builder, options);
      const updates = graph.outputs.flatMap((output): GraphOutput[] => {
        if (output.role === 'result') return [];
        const input = findInput(graph, output.of);
        if (output.role === 'gradient') {
          return update.parameter(input, output.value, undecayed.has(input.name) ? 0 : options.weightDecay);
        }
        if (output.role === 'observation') return [updateRunning(builder, input, output.value)];
        throw new InternalError(`the output ${output.name} already updates ${output.of}`);
      });
      const counters = graph.inputs.filter(({ role }) => role === 'counter').map((input) => count(builder, input));
      const results = graph.outputs.filter(({ role }) => role === 'result');
      return builder.finish([...results, ...updates, ...counters, ...update.shared]);
    },
  };
}

/** Scalars by which a graph that accumulates tells an updating step from another. */
interface Accumulation {
  readonly share: Value;
  /** 1 or 0. */
  readonly apply: Value;
  /** 1 − apply. */
  readonly wait: Value;
}

/** The optimizer's part of a graph. */
class Update {
  /** Next values that belong to no parameter. */
  readonly shared: GraphOutput[] = [];
  /** The learning rate; 0 in a step that only accumulates. */
  private readonly rate: Value;
  private readonly accumulation: Accumulation | undefined;
  /** What the averages of adamw must be divided by. */
  private readonly corrections: readonly Value[];

  constructor(
    private readonly builder: GraphBuilder,
    private readonly options: OptimizerOptions,
  ) {
    const rate = this.scalarInput(learningRateInput);
    this.accumulation = options.accumulate > 1 ? this.accumulate() : undefined;
    this.rate = this.accumulation ? this.mul(rate, this.accumulation.apply) : rate;
    this.corrections = options.kind === 'adamw' ? options.betas.map((beta, index) => this.correct(beta, index)) : [];
  }

  /** The next values of a parameter and of all that is kept of it. */
  parameter(input: GraphInput, gradient: Value, decay: number): GraphOutput[] {
    const { mean, kept } = this.meanGradient(input, gradient);
    const own =
      this.options.kind === 'adamw'
        ? this.adamw(input, mean, decay, this.options)
        : this.sgd(input, mean, decay, this.options);
    return [...own, ...kept];
  }

  private sgd(input: GraphInput, loss: Value, weightDecay: number, { momentum, nesterov }: SgdOptions): GraphOutput[] {
    const { name, value } = input;
    const decay = weightDecay > 0 ? this.mul(value, weightDecay) : undefined;
    const gradient = decay ? this.add(loss, decay) : loss;
    if (momentum === 0) return [this.descend(input, value, this.mul(gradient, this.rate))];
    const nextVelocity = this.average(this.state('momentum', input), momentum, gradient, 1);
    const direction = nesterov ? this.add(gradient, this.mul(nextVelocity, momentum)) : nextVelocity;
    return [this.descend(input, value, this.mul(direction, this.rate)), next(`momentum.${name}`, nextVelocity)];
  }

  private adamw(
    input: GraphInput,
    gradient: Value,
    weightDecay: number,
    { betas, epsilon }: AdamwOptions,
  ): GraphOutput[] {
    const { name, value } = input;
    const [beta1, beta2] = betas;
    const [meanWeight, squareWeight] = this.corrections as [Value, Value];
    const mean = this.average(this.state('momentum', input), beta1, gradient, 1 - beta1);
    const square = this.average(this.state('variance', input), beta2, this.mul(gradient, gradient), 1 - beta2);
    const root = this.builder.emit('sqrt', [this.div(square, squareWeight)], {});
    const direction = this.div(mean, this.add(root, this.builder.scalar(epsilon)));
    const decayed = weightDecay > 0 ? this.mul(value, this.kept(weightDecay)) : value;
    return [
      this.descend(input, decayed, this.mul(direction, this.div(this.rate, meanWeight))),
      next(`momentum.${name}`, mean),
      next(`variance.${name}`, square),
    ];
  }

  /** What decoupled decay leaves of a parameter: 1 − η·weightDecay. */
  private kept(weightDecay: number): Value {
    return this.builder.emit('sub', [this.builder.scalar(1), this.mul(this.rate, weightDecay)], {});
  }

  /** The mean gradient of the batches since the last update, and what is kept of it for the next step. */
  private meanGradient(input: GraphInput, gradient: Value): { mean: Value; kept: GraphOutput[] } {
    if (!this.accumulation) return { mean: gradient, kept: [] };
    const { share, wait } = this.accumulation;
    const mean = this.add(this.state('accumulated', input), this.mul(gradient, share));
    return { mean, kept: [next(`accumulated.${input.name}`, this.mul(mean, wait))] };
  }

  /**
   * keep·average + take·sample in a step that updates; the average itself in one that only accumulates, since then
   * the factors are 1 and 0.
   */
  private average(average: Value, keep: number, sample: Value, take: number): Value {
    if (!this.accumulation) return this.add(this.mul(average, keep), take === 1 ? sample : this.mul(sample, take));
    const { apply, wait } = this.accumulation;
    const factor = this.add(this.mul(apply, keep), wait);
    return this.add(this.mul(average, factor), this.mul(sample, take === 1 ? apply : this.mul(apply, take)));
  }

  private correct(beta: number, index: number): Value {
    const name = correctionNames[index] as string;
    const type = { dtype: 'float32', shape: [1] } as const;
    const weight = this.builder.input(type, {
      name,
      role: 'running',
      initializer: { kind: 'constant', value: 0 },
      momentum: 1 - beta,
    });
    const nextWeight = this.average(weight, beta, this.builder.scalar(1), 1 - beta);
    this.shared.push(next(name, nextWeight));
    // Before the first update it is 0, and a step that only accumulates must not divide by that.
    return this.accumulation ? this.add(nextWeight, this.accumulation.wait) : nextWeight;
  }

  private accumulate(): Accumulation {
    const share = this.scalarInput(accumulationInputs.share);
    const apply = this.scalarInput(accumulationInputs.apply);
    return { share, apply, wait: this.builder.emit('sub', [this.builder.scalar(1), apply], {}) };
  }

  private state(kind: string, { name, value }: GraphInput): Value {
    return this.builder.input(value.type, {
      name: `${kind}.${name}`,
      role: 'momentum',
      initializer: { kind: 'constant', value: 0 },
      parameter: name,
    });
  }

  private scalarInput(name: string): Value {
    return this.builder.input({ dtype: 'float32', shape: [] }, { name, role: 'scalar' });
  }

  private descend({ name }: GraphInput, from: Value, step: Value): GraphOutput {
    return next(name, this.builder.emit('sub', [from, step], {}));
  }

  private add(a: Value, b: Value): Value {
    return this.builder.emit('add', [a, b], {});
  }

  private div(a: Value, b: Value): Value {
    return this.builder.emit('div', [a, b], {});
  }

  private mul(a: Value, b: Value | number): Value {
    return this.builder.emit('mul', [a, typeof b === 'number' ? this.builder.scalar(b) : b], {});
  }
}

function updateRunning(builder: GraphBuilder, input: GraphInput, observed: Value): GraphOutput {
  if (input.role !== 'running') throw new InternalError(`${input.name} is observed but is no running statistic`);
  const difference = builder.emit('sub', [observed, input.value], {});
  const change = builder.emit('mul', [difference, builder.scalar(input.momentum)], {});
  return next(input.name, builder.emit('add', [input.value, change], {}));
}

function count(builder: GraphBuilder, { name, value }: GraphInput): GraphOutput {
  return next(name, builder.emit('add', [value, builder.constant(int64Tensor([], [1]))], {}));
}

function next(name: string, value: Value): GraphOutput {
  return { name: `next.${name}`, role: 'next', of: name, value };
}
