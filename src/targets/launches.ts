/** @file What onnxruntime's CUDA provider, and our kernels there, launch for a node: kernels, fills and copies of tables. */

import {
  concreteShape,
  elementCount,
  isStatic,
  type Node,
  type NodeOf,
  normalizeAxes,
  type OperatorName,
  type Value,
} from '../ir/index.js';
import type { Work } from './target.js';
import { bytesOf, workOf } from './work.js';

/** Rows of a sum from this length on are summed by several blocks, whose counters are filled with zeros before. */
const longRow = 2048;

/** Parts of a concatenation or a split that one kernel of the provider's takes by value. */
const partsByValue = 32;

/** Tables that the provider's kernels for unequal parts read, each copied from the host. */
const tablesOfUnequal = 4;

/** Parts that one kernel of ours takes. */
const partsOfOurs = 60;

/** A transposition by rows of at most so many elements moves four at a time. */
const longestRowMoved = 4096;

/** The vendor's general reduction, for axes in the midst of others, takes about twelve times the time of the bytes. */
const generalSum = 12;

/** Index arithmetic with a division for each axis takes about twice the time of the bytes. */
const perAxis = 2;

/**
 * What a node becomes on a card, in the order of launching: nothing for views, and for what the provider computes on the
 * host. docs/decisions.md, "What targets cost", has where the rules come from.
 */
export function launchesOf(node: Node, batchSize: number): readonly Work[] {
  const rule = rules[node.operator] as Rule<OperatorName> | undefined;
  const whole = workOf(node, batchSize);
  if (whole.kind === 'view' || isOnHost(node)) return [];
  return rule?.(node as NodeOf<OperatorName>, whole, batchSize) ?? [whole];
}

/**
 * The workspace of a convolution: the larger of its image and its result once more, in the layout of the card's tensor cores.
 * One over single pixels takes none. Gradients by our kernels have a workspace of their own, outside the arena.
 */
export function workspaceOf(node: Node, batchSize: number): number {
  const { operator, inputs, outputs } = node;
  if (operator !== 'conv2d' && operator !== 'convTranspose2d') return 0;
  if (workOf(node, batchSize).kind === 'pointwise') return 0;
  return Math.max(bytesOf(inputs[0], batchSize), bytesOf(outputs[0], batchSize));
}

type Rule<K extends OperatorName> = (node: NodeOf<K>, whole: Work, batchSize: number) => readonly Work[];

const rules: { readonly [K in OperatorName]?: Rule<K> } = {
  add: binary,
  sub: binary,
  mul: binary,
  div: binary,
  equal: binary,
  greater: binary,
  slice: slow,
  reverse: slow,
  expand: slow,
  concat: joined,
  split: joined,
  transpose: transposed,
  scatterAdd: (node, whole, batchSize) => [moved(2 * bytesOf(node.outputs[0], batchSize)), whole],
  reduceSum: reduced,
  reduceMean: reduced,
  reduceMax: reduced,
  conv2d: (node, whole, batchSize) => (node.inputs.length > 2 ? [whole, passOver(node, batchSize)] : [whole]),
  conv2dInputGrad: (_, whole) => [{ ...whole, kind: 'gradient' }],
  conv2dWeightGrad: (_, whole) => [{ ...whole, kind: 'gradient' }],
  conv2dAdd: (node, whole, batchSize) => [whole, passOver(node, batchSize)],
  affineRelu: ({ inputs }, whole) => inParts(whole, inputs.length - 3),
  affineReluGrad: ({ attributes, inputs }, whole, batchSize) => {
    const { accumulates } = attributes;
    // Where nothing is accumulated, the tensor in its place is not read.
    const unread = accumulates.reduce<number>(
      (sum, adds, part) => sum + (adds ? 0 : bytesOf(inputs[4 + 2 * part], batchSize)),
      0,
    );
    return inParts({ ...whole, bytes: whole.bytes - unread }, accumulates.length);
  },
  centerGrad: ({ inputs: [gradient, x] }, whole, batchSize) => [
    { kind: 'reduction', bytes: bytesOf(gradient, batchSize) + bytesOf(x, batchSize), flops: 0 },
    whole,
  ],
};

/** What is made of extents alone is computed on the host, and no part of a captured step. */
function isOnHost({ outputs }: Node): boolean {
  return outputs.every(({ type }) => type.dtype === 'int64' && type.shape.length <= 1 && isStatic(type.shape));
}

function moved(bytes: number): Work {
  return { kind: 'movement', bytes, flops: 0 };
}

function filled(bytes: number): Work {
  return { kind: 'elementwise', bytes, flops: 0 };
}

function slow(_: Node, whole: Work): readonly Work[] {
  return [{ ...whole, bytes: perAxis * whole.bytes }];
}

/** A bias, or a sum, that a convolution of the provider's adds in a pass of its own. */
function passOver({ outputs: [out] }: Node, batchSize: number): Work {
  return { kind: 'elementwise', bytes: 2 * bytesOf(out, batchSize), flops: 0 };
}

/** A kernel of ours for as many launches as its parts take. */
function inParts(whole: Work, parts: number): readonly Work[] {
  const launches = Math.max(1, Math.ceil(parts / partsOfOurs));
  return new Array<Work>(launches).fill({ ...whole, bytes: whole.bytes / launches });
}

/** Without index arithmetic where shapes are equal or an operand is a number; with little for a vector by channel on the right. */
function binary({ inputs: [a, b], outputs: [out] }: Node, whole: Work): readonly Work[] {
  const rank = out?.type.shape.length ?? 0;
  const padded = (value: Value | undefined): readonly (number | string)[] => {
    const shape = value?.type.shape ?? [];
    return [...new Array<number>(rank - shape.length).fill(1), ...shape];
  };
  const [left, right] = [padded(a), padded(b)];
  const isNumber = (shape: readonly (number | string)[]): boolean => shape.every((dim) => dim === 1);
  const isDirect =
    left.join() === right.join() ||
    isNumber(left) ||
    isNumber(right) ||
    (left.join() === out?.type.shape.join() && right.filter((dim) => dim !== 1).length === 1);
  return isDirect ? [whole] : [{ ...whole, bytes: perAxis * whole.bytes }];
}

/** Equal parts go in one kernel; for unequal ones four tables are copied from the host first, for very many equal ones one. */
function joined({ operator, inputs, outputs, attributes }: NodeOf<'concat' | 'split'>, whole: Work): readonly Work[] {
  const parts = operator === 'concat' ? inputs : outputs;
  if (attributes.kernel === 'own') return inParts(whole, parts.length);
  const extents = new Set(parts.map(({ type }) => type.shape[attributes.axis]));
  const tables = extents.size > 1 ? tablesOfUnequal : parts.length > partsByValue ? 1 : 0;
  return [...new Array<Work>(tables).fill(moved(0)), whole];
}

/**
 * Sums are fast over trailing axes (one kernel, and a fill of counters before it where rows are long) and over leading ones (a
 * fill, then sums by atomic additions). Means have a division after; others go to the vendor's general reduction.
 */
function reduced(
  { operator, attributes, inputs: [x] }: NodeOf<'reduceSum' | 'reduceMean' | 'reduceMax'>,
  whole: Work,
  batchSize: number,
): readonly Work[] {
  const shape = concreteShape(x?.type.shape ?? [], batchSize);
  const axes = new Set(normalizeAxes(attributes.axes, shape.length, operator));
  const kept = shape.flatMap((extent, axis) => (extent === 1 ? [] : [{ extent, isReduced: axes.has(axis) }]));
  const reducedAt = kept.flatMap(({ isReduced }, position) => (isReduced ? [position] : []));
  const [first, last] = [reducedAt[0], reducedAt.at(-1)];
  if (first === undefined || last === undefined) return [moved(whole.bytes)];
  const isLeading = first === 0;
  const isTogether = last - first + 1 === reducedAt.length && (isLeading || last === kept.length - 1);
  const fill = filled(0);
  const division = operator === 'reduceMean' ? [filled(0)] : [];
  if (!isTogether || operator === 'reduceMax')
    return [fill, { ...whole, bytes: generalSum * whole.bytes }, ...division];
  const length = elementCount(kept.filter(({ isReduced }) => isReduced).map(({ extent }) => extent));
  return [...(isLeading || length >= longRow ? [fill] : []), whole, ...division];
}

/** Fast kernels for two groups of axes, for the last two swapped, and for rows that stay together; else divisions. */
function transposed(
  { attributes: { permutation }, inputs: [x] }: NodeOf<'transpose'>,
  whole: Work,
  batchSize: number,
): readonly Work[] {
  const shape = concreteShape(x?.type.shape ?? [], batchSize);
  const axes = permutation.filter((axis) => shape[axis] !== 1);
  const ranks = [...axes].sort((a, b) => a - b);
  const groups: number[][] = [];
  for (const axis of axes.map((each) => ranks.indexOf(each))) {
    const last = groups.at(-1);
    if (last?.at(-1) === axis - 1) last?.push(axis);
    else groups.push([axis]);
  }
  const row = (groups.at(-1) ?? []).reduce((size, rank) => size * (shape[ranks[rank] as number] as number), 1);
  const inOrder = [...groups].sort((a, b) => (a[0] as number) - (b[0] as number));
  const swapsLast = groups.slice(0, -2).every((group, index) => group === inOrder[index]);
  const keepsRows = groups.at(-1) === inOrder.at(-1) && row % 4 === 0 && row <= longestRowMoved;
  return groups.length <= 2 || swapsLast || keepsRows ? [whole] : [{ ...whole, bytes: perAxis * whole.bytes }];
}
