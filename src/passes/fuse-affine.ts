/** @file Batch norm's affine map, the ReLU after it and the concatenation before it as one operator, for targets that have it. */

import type { Graph, Node, NodeOf, Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { countReaders, Rewriter } from './rewrite.js';

/**
 * ```
 * y₀ = center(x₀, μ₀, σ₀²)   y₁ = center(x₁, μ₁, σ₁²)        n₀ = normalizable(x₀, μ₀, σ₀²)   n₁ = …
 * y = concat(y₀, y₁)                                   →     μ = concat(μ₀, μ₁)
 * z = relu(affine(y, scale, shift))                          z = affineRelu(scale, shift, μ, n₀, n₁)
 * ```
 * What is centered is not stored, nor is the concatenation. Run before gradients are derived; `elideNormalizable` follows.
 */
export const fuseAffine: Pass = {
  name: 'fuse-affine',
  run: (graph) => new Fuser(graph).run(),
};

/** Takes `normalizable` for x itself, once gradients are derived. */
export const elideNormalizable: Pass = {
  name: 'elide-normalizable',
  run(graph) {
    const rewriter = new Rewriter(graph);
    rewriter.apply((node, inputs) => (node.operator === 'normalizable' ? [inputs[0] as Value] : undefined));
    return rewriter.builder.finish(rewriter.outputs());
  },
};

/** A value that is centered, or a concatenation of such, as the tensors it consists of. */
interface Centered {
  readonly parts: readonly Value[];
  readonly means: readonly Value[];
}

class Fuser {
  private readonly rewriter: Rewriter;
  private readonly centered = new Map<Value, Centered>();
  /** Affine maps of what is centered that only a ReLU reads. */
  private readonly postponed = new Map<Value, NodeOf<'affine'>>();
  private readonly onlyForRelu: ReadonlySet<Value>;

  constructor(graph: Graph) {
    this.rewriter = new Rewriter(graph);
    const readers = countReaders(graph);
    const relus = graph.nodes.filter(({ operator }) => operator === 'relu').flatMap(({ inputs }) => inputs);
    this.onlyForRelu = new Set(relus.filter((value) => readers.get(value) === 1));
  }

  run(): Graph {
    this.rewriter.apply((node, inputs) => this.rewritten(node, inputs));
    return this.rewriter.builder.finish(this.rewriter.outputs());
  }

  private rewritten(node: Node, inputs: readonly Value[]): readonly Value[] | undefined {
    const { builder } = this.rewriter;
    const [output] = node.outputs as readonly [Value];
    switch (node.operator) {
      case 'center': {
        if (output.type.shape.length !== 4) return undefined;
        const value = builder.emit('normalizable', inputs, node.attributes);
        this.centered.set(value, { parts: [value], means: [inputs[1] as Value] });
        return [value];
      }
      case 'concat':
        return this.concatenated(node, inputs);
      case 'affine': {
        if (inputs.length !== 3 || !this.centered.has(inputs[0] as Value)) return undefined;
        if (!this.onlyForRelu.has(output)) return [this.affineRelu(inputs, false)];
        this.postponed.set(output, { ...node, inputs });
        return [output];
      }
      case 'relu': {
        const affine = this.postponed.get(inputs[0] as Value);
        return affine && [this.affineRelu(affine.inputs, true)];
      }
      default:
        return undefined;
    }
  }

  /** A group stays a tensor of its own, with the means of all its operands; any other concatenation is taken apart. */
  private concatenated(node: NodeOf<'concat'>, inputs: readonly Value[]): readonly Value[] | undefined {
    const operands = inputs.map((value) => this.centered.get(value));
    if (node.attributes.axis !== 1 || !operands.every((operand) => operand !== undefined)) return undefined;
    const value = this.rewriter.builder.emit('concat', inputs, node.attributes);
    const means = operands.flatMap((operand) => operand.means);
    const parts = node.attributes.as === 'group' ? [value] : operands.flatMap((operand) => operand.parts);
    this.centered.set(value, { parts, means });
    return [value];
  }

  private affineRelu([source, scale, shift]: readonly Value[], relu: boolean): Value {
    const { builder } = this.rewriter;
    const { parts, means } = this.centered.get(source as Value) as Centered;
    const mean = means.length === 1 ? (means[0] as Value) : builder.emit('concat', means, { axis: 0 });
    return builder.emit('affineRelu', [scale as Value, shift as Value, mean, ...parts], { relu });
  }
}
