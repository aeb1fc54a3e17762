/** @file Lowering: replaces composite operators by those that the target has. */

import {
  batch,
  type Graph,
  type GraphBuilder,
  InternalError,
  type Node,
  type NodeOf,
  normalizeAxes,
  type OperatorName,
  traitsOf,
  type Value,
} from '../ir/index.js';
import type { Target } from '../targets/index.js';
import {
  averageByProduct,
  expandBatch,
  floatScalar,
  innerAxes,
  type LoweringContext,
  type LoweringRule,
  loweringRules,
  splitBySlices,
  swapLastAxes,
} from './lowering/index.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/** Lowers for a target, again and again until no composite operator is left: rules may use composite operators. */
export function lower(target: Target): Pass {
  return {
    name: `lower-${target.name}`,
    run(graph) {
      let lowered = graph;
      for (let round = 0; round < 4; round++) {
        lowered = lowerOnce(lowered, target);
        // The last rules may have emitted operators that the target wants otherwise.
        if (!lowered.nodes.some((node) => isLeft(node, target))) return lowerOnce(lowered, target);
      }
      const left = lowered.nodes.find((node) => isLeft(node, target));
      throw new InternalError(`${left?.operator} has no lowering for ${target.name}`);
    },
  };
}

/** Whether a node is composite and the target has no kernel for it. */
function isLeft({ operator }: Node, { kernels }: Target): boolean {
  return traitsOf(operator).composite === true && !kernels.has(operator);
}

function lowerOnce(graph: Graph, target: Target): Graph {
  const sums = new Map<Value, Value>();
  let counted: Value | undefined;
  return rewriteNodes(graph, (node, inputs, builder) => {
    const count = (): Value => {
      if (target.hostScalars) return floatScalar(builder, batchSize(graph, builder));
      counted ??= builder.within({ phase: 'forward' }, () => countSamples(graph, builder));
      return counted;
    };
    const context: LoweringContext = {
      builder,
      target,
      graph,
      sums,
      batchSize: () => batchSize(graph, builder),
      samples: count,
    };
    if (target.kernels.has(node.operator)) {
      // The runtime can't tell the shapes of what operators of ours compute, so others can wait for them as they are.
      for (const value of node.outputs) sums.set(value, value);
      return withOwnKernel(node, inputs, builder);
    }
    const rules: { readonly [K in OperatorName]?: unknown } = loweringRules;
    const rule = rules[node.operator] as LoweringRule<OperatorName> | undefined;
    if (rule) return rule(node as NodeOf<OperatorName>, inputs, context);
    return lowerPrimitive(node, inputs, context);
  });
}

/** A node that the target has a kernel of ours for: left, but for concatenations and splits, which say so. */
function withOwnKernel(node: Node, inputs: readonly Value[], builder: GraphBuilder): readonly Value[] | undefined {
  const { operator, attributes } = node;
  if ((operator !== 'concat' && operator !== 'split') || attributes.kernel) return undefined;
  if (inputs.some(({ type }) => type.dtype !== 'float32')) return undefined;
  return builder.emitAll(operator, inputs, { ...attributes, kernel: 'own' });
}

/** What a target asks for beside composite operators. */
function lowerPrimitive(node: Node, inputs: readonly Value[], context: LoweringContext): readonly Value[] | undefined {
  switch (node.operator) {
    case 'expand':
      return expandBatch(node, inputs, context);
    case 'averagePool2d':
      return averageByProduct(node, inputs, context);
    case 'split':
      return splitBySlices(node, inputs, context);
    case 'reduceSum':
    case 'reduceMean':
      return reduceInSteps(node, inputs, context);
    case 'matMul':
      return context.target.transposedMatMul ? undefined : transposeOperands(node, inputs, context.builder);
    default:
      return undefined;
  }
}

/** Reduces the axes behind the channels before the samples where the target wants that. */
function reduceInSteps(
  node: NodeOf<'reduceSum'> | NodeOf<'reduceMean'>,
  inputs: readonly Value[],
  context: LoweringContext,
): readonly Value[] | undefined {
  const { axes, keepDims } = node.attributes;
  const [x, given] = inputs as [Value, Value?];
  const all = normalizeAxes(axes, x.type.shape.length, node.operator);
  const inner = given ? undefined : innerAxes(context, x, all);
  if (!inner) return undefined;
  const { builder } = context;
  const once = builder.emit(node.operator, [x], { axes: inner, keepDims });
  return [builder.emit(node.operator, [once], { axes: [0], keepDims })];
}

/** Transposes the operands of a batched product; one of plain matrices is a Gemm, which transposes by itself. */
function transposeOperands(
  { attributes: { transposeA, transposeB } }: NodeOf<'matMul'>,
  inputs: readonly Value[],
  builder: GraphBuilder,
): readonly Value[] | undefined {
  const [a, b] = inputs as readonly [Value, Value];
  if ((!transposeA && !transposeB) || (a.type.shape.length === 2 && b.type.shape.length === 2)) return undefined;
  const operands = [transposeA ? swapLastAxes(builder, a) : a, transposeB ? swapLastAxes(builder, b) : b];
  return [builder.emit('matMul', operands, { transposeA: false, transposeB: false })];
}

/**
 * The batch size as a float that is computed from data, not from extents: one element a sample of a batch input (the
 * labels, where there are any) is compared with itself. One that is not a number isn't counted; nor is the loss a number then.
 */
function countSamples(graph: Graph, builder: GraphBuilder): Value {
  const batches = graph.inputs.filter(({ role, value }) => role === 'batch' && value.type.shape[0] === batch);
  const source = (batches.find(({ value }) => value.type.dtype === 'int64') ?? batches[0])?.value;
  if (!source) throw new InternalError(`the graph ${graph.name} has no batch input to tell the batch size`);
  const axes = source.type.shape.flatMap((_, axis) => (axis > 0 ? [axis] : []));
  const ones = axes.map(() => 1);
  const one =
    axes.length > 0
      ? builder.emit('slice', [source], { axes, starts: axes.map(() => 0), ends: ones, steps: ones })
      : source;
  const same = builder.emit('cast', [builder.emit('equal', [one, one], {})], { to: 'float32' });
  return builder.emit('reduceSum', [same], { axes: one.type.shape.map((_, axis) => axis), keepDims: false });
}

/** The batch size, read off the first input that has it outermost. */
function batchSize(graph: Graph, builder: GraphBuilder): Value {
  const source = graph.inputs.find(({ role, value }) => role === 'batch' && value.type.shape[0] === batch);
  if (!source) throw new InternalError(`the graph ${graph.name} has no batch input to tell the batch size`);
  return builder.emit('shape', [source.value], { start: 0, end: 1 });
}
