/** @file Computes with the operands of a concatenation instead of building it, wherever that gives the same. */

import type { Graph, GraphBuilder, Node, NodeOf, Origin, Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { concatenate } from './pieces.js';
import { mixesChannelsOnly } from './pool-first.js';
import { Rewriter } from './rewrite.js';

/**
 * A concatenation along the channels is not built where its readers can work on its operands one by one:
 *
 * - statistics of a concatenation are the concatenated statistics of its operands, so a feature's are taken once,
 *   however many layers read it;
 * - affine maps, ReLU and average pooling give a concatenation of results;
 * - a 1×1 convolution gives a sum of convolutions, each with its share of the weight.
 *
 * Gradients derived from the result are taken part by part too, and those of shared statistics come together before they
 * flow on into the feature. Any other reader gets the concatenation as it was.
 */
export const distributeConcat: Pass = {
  name: 'distribute-concat',
  run: (graph) => new Distributor(graph, true).run(),
};

/** The same with a normalizer for each part, of its own variances: for kernels that take these as they are. */
export const distributeNormalizers: Pass = {
  name: 'distribute-normalizers',
  run: (graph) => new Distributor(graph, true, true).run(),
};

/** Only takes statistics, and what is centered, of the operands: for targets on which fewer, larger nodes are faster. */
export const shareStatistics: Pass = {
  name: 'share-statistics',
  run: (graph) => new Distributor(graph, false).run(),
};

/** A value that is emitted when it is first wanted, so that all done with one part stands together. */
type Lazy = () => Value;

class Distributor {
  private readonly rewriter: Rewriter;
  /** Values that have not been built, as the parts they consist of. */
  private readonly virtual = new Map<Value, { readonly parts: readonly Part[]; readonly origin: Origin }>();
  /** Concatenations that are built, for the statistics of these. */
  private readonly members = new Map<Value, Pick<NodeOf<'concat'>, 'inputs' | 'attributes'>>();
  private readonly statistics = new Map<Value, readonly [mean: Value, variance: Value]>();
  /** Variances that were concatenated, as those of what was. */
  private readonly variances = new Map<Value, readonly Value[]>();
  /** Scales that normalize, by what gives them. */
  private readonly normalizers = new Map<Value, NodeOf<'normalizer'>>();
  /** Values as those read them that normalize by their statistics, by epsilon and value. */
  private readonly normalizable = new Map<number, Map<Value, Value>>();

  constructor(
    graph: Graph,
    /** Whether what follows works on the operands too. */
    private readonly partByPart: boolean,
    /** Whether each part has a normalizer of its own. */
    private readonly normalizesParts = false,
  ) {
    this.rewriter = new Rewriter(graph);
  }

  run(): Graph {
    this.rewriter.apply((node, inputs, builder) => this.rewritten(node, inputs, builder));
    const outputs = this.rewriter.outputs();
    for (const { value } of outputs) this.build(value);
    return this.rewriter.builder.finish(outputs);
  }

  private rewritten(node: Node, inputs: readonly Value[], builder: GraphBuilder): readonly Value[] | undefined {
    const [x] = inputs as readonly [Value];
    const [output] = node.outputs as readonly [Value];
    const parts = this.virtual.get(x)?.parts;
    if (node.operator === 'batchStatistics') return this.statisticsOf(x);
    if (node.operator === 'normalizer') this.normalizers.set(output, { ...node, inputs });
    if (node.operator === 'center') {
      const { epsilon } = node.attributes;
      if (!parts) return [this.center(x, epsilon)];
      return this.postpone(
        node,
        parts.map((part) => this.part(node, part.channels, () => this.center(part.value(), epsilon))),
      );
    }
    if (node.operator === 'concat' && node.attributes.axis === 1 && output.type.shape.length === 4) {
      if (node.attributes.as) this.members.set(output, { inputs, attributes: node.attributes });
      else
        return this.postpone(
          node,
          inputs.flatMap((value) => this.virtual.get(value)?.parts ?? [whole(value)]),
        );
    }
    const result = parts && this.partByPart && this.partwise(node, parts, inputs.slice(1), builder);
    if (result) return result;
    for (const value of inputs) this.build(value);
    return undefined;
  }

  /** The result of a node whose first operand consists of parts, where it has a rule for that. */
  private partwise(
    node: Node,
    parts: readonly Part[],
    others: readonly Value[],
    builder: GraphBuilder,
  ): readonly Value[] | undefined {
    switch (node.operator) {
      case 'affine': {
        const shares = others.map((vector) => this.normalizersOf(vector, parts) ?? split(builder, vector, 0, parts));
        const map = (part: Part, index: number): Value =>
          builder.emit('affine', [part.value(), ...shares.map((share) => share[index] as Value)], {});
        return this.postpone(
          node,
          parts.map((part, index) => this.part(node, part.channels, () => map(part, index))),
        );
      }
      case 'relu':
      case 'averagePool2d': {
        const { operator, attributes } = node;
        return this.postpone(
          node,
          parts.map((part) =>
            this.part(node, part.channels, () => builder.emit(operator, [part.value()], attributes as never)),
          ),
        );
      }
      case 'conv2d': {
        if (!mixesChannelsOnly(node)) return undefined;
        const [weight, ...bias] = others as [Value, ...Value[]];
        const shares = split(builder, weight, 1, parts);
        let sum: Value | undefined;
        for (const [index, part] of parts.entries()) {
          const term = [part.value(), shares[index] as Value] as const;
          sum = sum
            ? builder.emit('conv2dAdd', [sum, ...term], node.attributes)
            : builder.emit('conv2d', [...term, ...bias], node.attributes);
        }
        return sum && [sum];
      }
      default:
        return undefined;
    }
  }

  /** The scales of parts where they normalize: of each part's own variances. */
  private normalizersOf(scale: Value, parts: readonly Part[]): readonly Value[] | undefined {
    const normalizer = this.normalizesParts ? this.normalizers.get(scale) : undefined;
    if (!normalizer) return undefined;
    const [variance, gamma] = normalizer.inputs as readonly [Value, Value];
    const apart = inGroups(this.variances.get(variance) ?? [variance], parts);
    if (!apart) return undefined;
    const { builder } = this.rewriter;
    const gammas = split(builder, gamma, 0, parts);
    return apart.map((variances, index) => {
      const together = concatenate(builder, variances, 0);
      const [own] = builder.emitAll('normalizer', [together, gammas[index] as Value], normalizer.attributes);
      return own as Value;
    });
  }

  /** A part that is emitted for a node when it is first wanted. */
  private part({ origin }: Node, channels: number, emit: Lazy): Part {
    let value: Value | undefined;
    return {
      channels,
      value: () => {
        value ??= this.rewriter.builder.within(origin, emit);
        return value;
      },
    };
  }

  /** Leaves a node's output unbuilt, as parts. */
  private postpone({ outputs, origin }: Node, parts: readonly Part[]): readonly Value[] {
    this.virtual.set(outputs[0] as Value, { parts, origin });
    return outputs;
  }

  /** Builds a value that somebody needs in one piece. */
  private build(value: Value): void {
    const unbuilt = this.virtual.get(value);
    if (!unbuilt) return;
    this.virtual.delete(value);
    const concat = { inputs: unbuilt.parts.map((part) => part.value()), attributes: { axis: 1 } };
    this.members.set(value, concat);
    this.rewriter.builder.append({ ...concat, operator: 'concat', outputs: [value], origin: unbuilt.origin });
  }

  private statisticsOf(value: Value): readonly [Value, Value] {
    const known = this.statistics.get(value);
    if (known) return known;
    const { builder } = this.rewriter;
    const members = this.separate(value);
    const statistics =
      members.length === 1
        ? (builder.emitAll('batchStatistics', [value], {}) as [Value, Value])
        : concatenated(
            builder,
            members.map((member) => this.statisticsOf(member)),
          );
    this.statistics.set(value, statistics);
    if (members.length > 1) {
      const own = members.map((member) => this.statisticsOf(member)[1]);
      this.variances.set(
        statistics[1],
        own.flatMap((variance) => this.variances.get(variance) ?? [variance]),
      );
    }
    return statistics;
  }

  /** What a value consists of that has statistics of its own; groups have, since many ask for theirs. */
  private separate(value: Value): readonly Value[] {
    const parts = this.virtual.get(value)?.parts.map((part) => part.value()) ?? this.members.get(value)?.inputs;
    if (!parts) return [value];
    return parts.flatMap((part) => (this.members.get(part)?.attributes.as === 'part' ? this.separate(part) : [part]));
  }

  /**
   * A value to be normalized by its statistics. Where it was concatenated, that is made of operands each with statistics
   * of its own: its gradient then takes account of them once, after those of all its readers have been added up.
   */
  private center(value: Value, epsilon: number): Value {
    const known = this.normalizable.get(epsilon) ?? new Map<Value, Value>();
    this.normalizable.set(epsilon, known);
    const earlier = known.get(value);
    if (earlier) return earlier;
    const { builder } = this.rewriter;
    const concat = this.members.get(value);
    const members = concat?.inputs.map((member) => this.center(member, epsilon));
    const result =
      concat && members
        ? builder.emit('concat', members, concat.attributes)
        : builder.emit('center', [value, ...this.statisticsOf(value)], { epsilon });
    known.set(value, result);
    return result;
  }
}

/** A part of a concatenation. */
interface Part {
  readonly channels: number;
  readonly value: Lazy;
}

function whole(value: Value): Part {
  return { channels: value.type.shape[1] as number, value: () => value };
}

/** Vectors in groups as long as parts have channels; undefined where one reaches over a border. */
function inGroups(vectors: readonly Value[], parts: readonly Part[]): readonly (readonly Value[])[] | undefined {
  const groups = parts.map((): Value[] => []);
  let [at, length] = [0, 0];
  for (const vector of vectors) {
    groups[at]?.push(vector);
    length += vector.type.shape[0] as number;
    const channels = parts[at]?.channels ?? 0;
    if (length > channels) return undefined;
    if (length === channels) [at, length] = [at + 1, 0];
  }
  return at === parts.length ? groups : undefined;
}

function concatenated(
  builder: GraphBuilder,
  statistics: readonly (readonly [Value, Value])[],
): readonly [Value, Value] {
  const along = (index: 0 | 1): Value =>
    builder.emit(
      'concat',
      statistics.map((pair) => pair[index]),
      { axis: 0 },
    );
  return [along(0), along(1)];
}

/** A vector or weight cut along an axis into shares as large as the parts' channels. */
function split(builder: GraphBuilder, value: Value, axis: number, parts: readonly Part[]): readonly Value[] {
  return builder.emitAll('split', [value], { axis, sizes: parts.map(({ channels }) => channels) });
}
