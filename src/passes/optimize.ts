/** @file Appends the optimizer: the next value of every state input. */

import {
  findInput,
  type Graph,
  GraphBuilder,
  type GraphInput,
  type GraphOutput,
  InternalError,
  int64Tensor,
  type SlotRole,
  type TensorType,
  type Value,
} from '../ir/index.js';
import { correctionName, outputName, resultOutputs, slotName } from '../step/interface.js';
import { WeightAverage } from './optimizers/average.js';
import { clipGradients, clips } from './optimizers/clip.js';
import { type OptimizerOptions, optimizerOf } from './optimizers/index.js';
import { UpdateBuilder } from './optimizers/update.js';
import type { Segment } from './pack-state.js';
import type { Pass } from './pass.js';

/**
 * Replaces each gradient and observation by the next value of the input it belongs to, and counts up every counter.
 * What updates one parameter depends on no other's gradient, so it can run as soon as its own is there, unless gradients
 * are clipped by the norm of all together.
 *
 * The optimizer's row (`optimizers/`) says how a parameter is updated. Where gradients accumulate, its gradient is
 * a ← a + share·g of the batches since the last update, and the scalar `apply` is 1 in the step that updates. In others
 * it is 0, and every state but a stays as it is, bit for bit. Running statistics and counters follow every batch. A
 * running statistic r observing s becomes r + momentum·(s − r). Where an average of the weights is kept, it follows the
 * next values of parameters and running statistics, in the step that updates.
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
      const update = new ParameterUpdates(builder, options);
      if (clips(options)) update.clip(graph);
      const updates = graph.outputs.flatMap((output): GraphOutput[] => {
        if (output.role === 'result') return [];
        const input = findInput(graph, output.of);
        if (output.role === 'gradient') {
          return update.of(input, output.value, undecayed.has(input.name) ? 0 : options.weightDecay);
        }
        if (output.role === 'observation') return update.running(input, output.value);
        throw new InternalError(`the output ${output.name} already updates ${output.of}`);
      });
      const counters = graph.inputs.filter(({ role }) => role === 'counter').map((input) => count(builder, input));
      const results = graph.outputs.filter(({ role }) => role === 'result');
      return builder.finish([...results, ...update.results, ...updates, ...counters, ...update.corrections]);
    },
  };
}

/** The gradient that updates a parameter, and what accumulates further. */
interface MeanGradient {
  readonly mean: Value;
  readonly next?: Value;
}

/** The optimizer's part of a graph. */
class ParameterUpdates {
  /** Next values of the optimizer's own scalars. */
  readonly corrections: GraphOutput[] = [];
  /** What a step tells of its update. */
  readonly results: GraphOutput[] = [];
  private readonly update: UpdateBuilder;
  /** Clipped gradients by their parameters. */
  private readonly clipped = new Map<string, MeanGradient>();
  private readonly average: WeightAverage | undefined;
  /** What the averages that begin at 0 are divided by. */
  private readonly weights = new Map<SlotRole, Value>();

  constructor(
    private readonly builder: GraphBuilder,
    private readonly options: OptimizerOptions,
  ) {
    this.update = new UpdateBuilder(builder, options.accumulate);
    for (const { role, corrected } of optimizerOf(options).slots(options)) {
      if (corrected !== undefined) this.correct(role, corrected);
    }
    this.average = options.ema === undefined ? undefined : this.averageOf(options.ema);
  }

  /** Clips the gradients of a graph, before any of them updates. */
  clip(graph: Graph): void {
    const means = graph.outputs.flatMap((output): [string, MeanGradient][] =>
      output.role === 'gradient' ? [[output.of, this.mean(findInput(graph, output.of), output.value)]] : [],
    );
    const gradients = means.map(([, { mean }]) => mean);
    const { clipped, norm } = clipGradients(gradients, this.options, this.builder, this.update);
    for (const [index, [name, each]] of means.entries()) {
      this.clipped.set(name, { ...each, mean: clipped[index] as Value });
    }
    this.results.push({ name: resultOutputs.gradientNorm, role: 'result', value: norm });
  }

  /** The next values of a parameter and of all that is kept of it. */
  of(input: GraphInput, gradient: Value, decay: number): GraphOutput[] {
    const { name, value } = input;
    const optimizer = optimizerOf(this.options);
    const { mean, next: accumulated } = this.clipped.get(name) ?? this.mean(input, gradient);
    const roles = optimizer.slots(this.options).map(({ role }) => role);
    const slots = new Map(roles.map((role) => [role, this.slot(role, name, value.type)]));
    const parameter = {
      ...{ value, gradient: mean, decay },
      slot: (role: SlotRole) => known(slots, role),
      weight: (role: SlotRole) => known(this.weights, role),
    };
    const updated = optimizer.update(parameter, this.update, this.options);
    const kept = new Map(Object.entries(updated.slots) as [SlotRole, Value][]);
    return [
      next(name, updated.value),
      ...roles.map((role) => next(slotName(role, name), known(kept, role))),
      ...(accumulated ? [next(slotName('accumulator', name), accumulated)] : []),
      ...this.averaged(input, updated.value),
    ];
  }

  /** The next values of a running statistic and of its average. */
  running(input: GraphInput, observed: Value): GraphOutput[] {
    const updated = updateRunning(this.builder, input, observed);
    return [updated, ...this.averaged(input, updated.value)];
  }

  private mean({ name, value }: GraphInput, gradient: Value): MeanGradient {
    return this.update.meanGradient(gradient, () => this.slot('accumulator', name, value.type));
  }

  private averaged({ name, value }: GraphInput, updated: Value): GraphOutput[] {
    if (!this.average) return [];
    return [next(slotName('ema', name), this.average.of(this.slot('ema', name, value.type), updated))];
  }

  private averageOf(decay: number): WeightAverage {
    const begun = this.correction('ema');
    const average = new WeightAverage(begun, decay, this.builder, this.update);
    this.corrections.push(next(correctionName('ema'), average.begun));
    return average;
  }

  private correct(role: SlotRole, keep: number): void {
    const weight = this.update.weight(this.correction(role), keep);
    this.corrections.push(next(correctionName(role), weight.next));
    this.weights.set(role, weight.divisor);
  }

  private correction(role: SlotRole): Value {
    const type = { dtype: 'float32', shape: [1] } as const;
    return this.builder.input(type, { name: correctionName(role), role: 'correction', initializer: zero });
  }

  private slot(role: SlotRole, parameter: string, type: TensorType): Value {
    return this.builder.input(type, { name: slotName(role, parameter), role, initializer: zero, parameter });
  }
}

const zero = { kind: 'constant', value: 0 } as const;

/** @throws InternalError where an optimizer uses, or leaves out, what its `slots` don't say */
function known(values: ReadonlyMap<SlotRole, Value>, role: SlotRole): Value {
  const value = values.get(role);
  if (!value) throw new InternalError(`the optimizer's slots and its update disagree on ${role}`);
  return value;
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
  return { name: outputName('next', name), role: 'next', of: name, value };
}
