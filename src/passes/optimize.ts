/** @file Appends the optimizer: the next value of every state input. */

import {
  findInput,
  GraphBuilder,
  type GraphInput,
  type GraphOutput,
  InternalError,
  int64Tensor,
  type SlotRole,
  type TensorType,
  type Value,
} from '../ir/index.js';
import { correctionName, outputName, slotName } from '../step/interface.js';
import { type OptimizerOptions, optimizerOf } from './optimizers/index.js';
import { UpdateBuilder } from './optimizers/update.js';
import type { Segment } from './pack-state.js';
import type { Pass } from './pass.js';

/**
 * Replaces each gradient and observation by the next value of the input it belongs to, and counts up every counter.
 * What updates one parameter depends on no other's gradient, so it can run as soon as its own is there.
 *
 * The optimizer's row (`optimizers/`) says how a parameter is updated. Where gradients accumulate, its gradient is
 * a ← a + share·g of the batches since the last update, and the scalar `apply` is 1 in the step that updates. In others
 * it is 0, and every state but a stays as it is, bit for bit. Running statistics and counters follow every batch. A
 * running statistic r observing s becomes r + momentum·(s − r).
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
      const updates = graph.outputs.flatMap((output): GraphOutput[] => {
        if (output.role === 'result') return [];
        const input = findInput(graph, output.of);
        if (output.role === 'gradient') {
          return update.of(input, output.value, undecayed.has(input.name) ? 0 : options.weightDecay);
        }
        if (output.role === 'observation') return [updateRunning(builder, input, output.value)];
        throw new InternalError(`the output ${output.name} already updates ${output.of}`);
      });
      const counters = graph.inputs.filter(({ role }) => role === 'counter').map((input) => count(builder, input));
      const results = graph.outputs.filter(({ role }) => role === 'result');
      return builder.finish([...results, ...updates, ...counters, ...update.corrections]);
    },
  };
}

/** The optimizer's part of a graph. */
class ParameterUpdates {
  /** Next values of the optimizer's own scalars. */
  readonly corrections: GraphOutput[] = [];
  private readonly update: UpdateBuilder;
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
  }

  /** The next values of a parameter and of all that is kept of it. */
  of({ name, value }: GraphInput, gradient: Value, decay: number): GraphOutput[] {
    const optimizer = optimizerOf(this.options);
    const { mean, next: accumulated } = this.update.meanGradient(gradient, () =>
      this.slot('accumulator', name, value.type),
    );
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
    ];
  }

  private correct(role: SlotRole, keep: number): void {
    const name = correctionName(role);
    const type = { dtype: 'float32', shape: [1] } as const;
    const sum = this.builder.input(type, { name, role: 'correction', initializer: zero });
    const weight = this.update.weight(sum, keep);
    this.corrections.push(next(name, weight.next));
    this.weights.set(role, weight.divisor);
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
