/** @file Packs the many state tensors of a network into few segments, each one graph input and one output. */

import {
  bytesPerElement,
  elementCount,
  type Graph,
  GraphBuilder,
  type GraphInput,
  type GraphOutput,
  InternalError,
  type Shape,
  staticShape,
  type Value,
} from '../ir/index.js';
import { outputName, segmentName } from '../step/interface.js';
import type { Pass } from './pass.js';
import { concatenate, cut } from './pieces.js';

/** Where a tensor lies in its segment; counts are elements. */
export interface PackedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
}

/** State tensors side by side in one vector, a graph input by this name. */
export interface Segment {
  readonly name: string;
  /** `optimizer`: scalars of the optimizer's own, which no pass packs. */
  readonly role: 'parameter' | 'running' | 'counter' | 'optimizer';
  /** Said only of parameters that weight decay leaves out. */
  readonly decay?: false | undefined;
  readonly dtype: 'float32' | 'int64';
  /** Parameters that training leaves as they are: neither momentum nor a next value goes with them. */
  readonly frozen?: true | undefined;
  /** Elements in all. */
  readonly length: number;
  readonly tensors: readonly PackedTensor[];
}

/** An eighth of the parameters, from 1 to 4 MB: few inputs, and temporaries of the update that stay small. */
function defaultSegmentBytes(graph: Graph): number {
  const parameters = graph.inputs.filter(({ role }) => role === 'parameter');
  const elements = parameters.reduce((sum, { value }) => sum + elementCount(value.type.shape as readonly number[]), 0);
  return Math.min(4e6, Math.max(1e6, (elements * bytesPerElement.float32) / 8));
}

/** How a graph's state is laid out. */
export interface SegmentOptions {
  /** Largest segment; by default by the size of the network. */
  readonly segmentBytes?: number | undefined;
  /** Whether weight decay reaches batch norm's scale and shift and biases; if not, they lie apart. */
  readonly decayNormBias?: boolean;
}

/**
 * Segments for a graph's state. Each takes, in the order of the inputs, tensors of one role (and one momentum, for running
 * statistics; all with weight decay or all without; frozen parameters apart) up to `segmentBytes`; a larger tensor gets a
 * segment of its own. Within a segment tensors of one kind lie side by side, so that what is done to each of them can be
 * done to all at once. Why segments and how large: docs/decisions.md.
 */
export function planSegments(
  graph: Graph,
  { segmentBytes = defaultSegmentBytes(graph), decayNormBias = true }: SegmentOptions = {},
): readonly Segment[] {
  const open = new Map<string, Segment>();
  const segments: Segment[] = [];
  const counts = new Map<string, number>();
  const kinds = new Map(graph.inputs.map((input) => [input.name, kindOf(input)]));
  const close = (key: string): void => {
    const segment = open.get(key);
    if (segment) segments.push(byKind(segment, kinds));
    open.delete(key);
  };
  for (const input of graph.inputs) {
    if (input.role !== 'parameter' && input.role !== 'running' && input.role !== 'counter') continue;
    const shape = staticShape(input.value.type.shape, input.name);
    // Kernels have two axes or more, all else has one.
    const undecayed = !decayNormBias && input.role === 'parameter' && !input.frozen && shape.length < 2;
    const key = undecayed ? 'parameter without decay' : groupOf(input);
    const dtype = input.role === 'counter' ? 'int64' : 'float32';
    const elements = elementCount(shape);
    const current = open.get(key);
    if (current && (current.length + elements) * bytesPerElement[dtype] > segmentBytes) close(key);
    const segment = open.get(key);
    if (segment) {
      open.set(key, {
        ...segment,
        length: segment.length + elements,
        tensors: [...segment.tensors, { name: input.name, shape, offset: segment.length }],
      });
    } else {
      const number = counts.get(input.role) ?? 0;
      counts.set(input.role, number + 1);
      const tensors = [{ name: input.name, shape, offset: 0 }];
      const name = segmentName(input.role, number);
      const decay = undecayed && { decay: false as const };
      const frozen = isFrozen(input) && { frozen: true as const };
      open.set(key, { name, role: input.role, ...decay, dtype, ...frozen, length: elements, tensors });
    }
  }
  for (const key of [...open.keys()]) close(key);
  return segments;
}

/**
 * Replaces the state inputs by segments, split where the network reads them; gradients and observations are gathered
 * into vectors of the same layout.
 */
export function packState(segments: readonly Segment[]): Pass {
  return {
    name: 'pack-state',
    run(graph) {
      const present = segments.filter((segment) => graph.inputs.some(({ name }) => name === segment.tensors[0]?.name));
      const packed = new Set(present.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
      const builder = new GraphBuilder(
        graph.name,
        graph.inputs.filter(({ name }) => !packed.has(name)),
      );
      const views = new Map<Value, Value>();
      for (const segment of present) unpack(builder, graph, segment, views);
      for (const node of graph.nodes) {
        builder.append({ ...node, inputs: node.inputs.map((value) => views.get(value) ?? value) });
      }
      const others = graph.outputs.filter((output) => output.role === 'result' || !packed.has(output.of));
      const gathered = present.flatMap((segment) => gather(builder, graph, segment));
      return builder.finish([...others, ...gathered]);
    },
  };
}

/** Tensors of one kind begin alike and have the same extents but for the first. */
function kindOf(input: GraphInput): string {
  const begins = 'initializer' in input && input.initializer.kind === 'constant' ? input.initializer.value : '';
  return `${begins} ${rowOf(input.value.type.shape)}`;
}

function rowOf(shape: Shape): string {
  return shape.slice(1).join('×');
}

/** The tensors of a segment by kind, vectors first; those of one kind in the order in which they were. */
function byKind(segment: Segment, kinds: ReadonlyMap<string, string>): Segment {
  const order = [...new Set(segment.tensors.map(({ name }) => kinds.get(name)))];
  const rank = ({ name, shape }: PackedTensor): number =>
    (shape.length > 1 ? order.length : 0) + order.indexOf(kinds.get(name));
  const sorted = [...segment.tensors].sort((a, b) => rank(a) - rank(b));
  let length = 0;
  const tensors = sorted.map((tensor) => {
    const offset = length;
    length += elementCount(tensor.shape);
    return { ...tensor, offset };
  });
  return { ...segment, tensors };
}

/** Neighbours in a segment that differ in their first extent at most, as one tensor; vectors stay by themselves. */
function runsOf(segment: Segment): readonly (readonly PackedTensor[])[] {
  const runs: PackedTensor[][] = [];
  for (const tensor of segment.tensors) {
    const run = runs.at(-1);
    const [first] = run ?? [];
    if (run && first && tensor.shape.length > 1 && rowOf(first.shape) === rowOf(tensor.shape)) run.push(tensor);
    else runs.push([tensor]);
  }
  return runs;
}

function extentsOf(run: readonly PackedTensor[]): readonly number[] {
  const rows = run.reduce((sum, { shape }) => sum + (shape[0] ?? 1), 0);
  return [rows, ...(run[0]?.shape.slice(1) ?? [])];
}

function isFrozen(input: GraphInput): boolean {
  return input.role === 'parameter' && input.frozen === true;
}

/** Tensors that may share a segment. */
function groupOf(input: GraphInput): string {
  if (input.role === 'running') return `running ${input.momentum}`;
  return isFrozen(input) ? 'frozen parameter' : input.role;
}

function unpack(builder: GraphBuilder, graph: Graph, segment: Segment, views: Map<Value, Value>): void {
  const first = inputNamed(graph, segment.tensors[0]?.name ?? '');
  const { dtype, length } = segment;
  const vector = builder.input({ dtype, shape: [length] }, { ...first, name: segment.name });
  // Counters are only counted up, which the optimizer does to the vector as a whole.
  if (segment.role === 'counter') return;
  builder.origin = { scope: 'state', phase: 'forward' };
  const runs = runsOf(segment);
  const sizes = runs.map((run) => run.reduce((sum, { shape }) => sum + elementCount(shape), 0));
  const parts = cut(builder, vector, 0, sizes);
  for (const [index, run] of runs.entries()) {
    const [part, shape] = [parts[index] as Value, extentsOf(run)];
    const whole = run[0]?.shape.length === 1 ? part : builder.emit('reshape', [part], { shape });
    const rows = run.map((tensor) => tensor.shape[0] ?? 1);
    for (const [position, value] of cut(builder, whole, 0, rows).entries()) {
      views.set(inputNamed(graph, run[position]?.name ?? '').value, value);
    }
  }
}

function gather(builder: GraphBuilder, graph: Graph, segment: Segment): GraphOutput[] {
  const found = segment.tensors.map(({ name }) =>
    graph.outputs.find((output) => output.role !== 'result' && output.of === name),
  );
  const [first] = found;
  if (!first || first.role === 'result') return [];
  builder.origin = { scope: 'state', phase: 'update' };
  const values = new Map(segment.tensors.map(({ name }, index) => [name, found[index]?.value]));
  const parts = runsOf(segment).map((run) => {
    const rows = run.map(({ name }) => {
      const value = values.get(name);
      if (!value) throw new InternalError(`${name} is not updated like the rest of its segment`);
      return value;
    });
    const whole = concatenate(builder, rows, 0);
    const shape = [elementCount(extentsOf(run))];
    return run[0]?.shape.length === 1 ? whole : builder.emit('reshape', [whole], { shape });
  });
  const value = concatenate(builder, parts, 0);
  return [{ name: outputName(first.role, segment.name), role: first.role, of: segment.name, value }];
}

function inputNamed(graph: Graph, name: string): GraphInput {
  const input = graph.inputs.find((candidate) => candidate.name === name);
  if (!input) throw new InternalError(`the graph ${graph.name} lacks ${name}, which shares a segment with others`);
  return input;
}
