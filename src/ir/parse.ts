/** @file Graphs from text: the inverse of the printer. Everything is checked, so what is read is a well-formed graph. */

import { GraphBuilder } from './builder.js';
import { DensecError } from './errors.js';
import type { Graph, GraphInput, GraphOutput, Initializer, Node, Phase, Value } from './graph.js';
import { type AttributeKind, attributeKinds } from './operators/attribute-kinds.js';
import type { OperatorAttributes, OperatorName } from './operators/index.js';
import { formatType, isDim, sameType, shortNames, type TensorType } from './shape.js';
import { type DType, elementCount, type TensorData } from './tensor-data.js';
import { Line, type WrittenTensor } from './text.js';

type Role = GraphInput['role'];

/** What each kind of input says of itself beside its type, in braces. */
const inputFacts: Readonly<Record<Role, readonly ('initializer' | 'momentum' | 'parameter' | 'frozen')[]>> = {
  batch: [],
  scalar: [],
  counter: ['initializer'],
  parameter: ['initializer', 'frozen'],
  running: ['initializer', 'momentum'],
  momentum: ['initializer', 'parameter'],
  variance: ['initializer', 'parameter'],
  gradientMean: ['initializer', 'parameter'],
  accumulator: ['initializer', 'parameter'],
  ema: ['initializer', 'parameter'],
  correction: ['initializer'],
};

const outputRoles: Readonly<Record<GraphOutput['role'], true>> = {
  result: true,
  gradient: true,
  observation: true,
  next: true,
};

const phases: Readonly<Record<Phase, true>> = { forward: true, backward: true, recompute: true, update: true };

const initializerKinds: Readonly<Record<Initializer['kind'], true>> = { constant: true, normal: true, uniform: true };

const keysOf = <K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] => Object.keys(record) as K[];

/**
 * The graph that a text describes, as `printGraph` writes it: printed again, it gives the same text. Values may have any
 * names, and a node without an origin belongs to the forward pass.
 * @param source what is read, for errors
 * @throws FailureError naming the line, what was found and what was expected
 */
export function parseGraph(text: string, source = 'the graph'): Graph {
  const lines = text.split('\n').map((line, index) => new Line(source, index + 1, line));
  const reader = new Reader(lines.filter((line, index) => !line.done || index === lines.length - 1));
  return reader.graph();
}

class Reader {
  private readonly values = new Map<string, Value>();
  private readonly inputs = new Set<string>();
  private readonly outputs: GraphOutput[] = [];

  constructor(private readonly lines: readonly Line[]) {}

  graph(): Graph {
    const [first, ...rest] = this.lines as [Line, ...Line[]];
    first.take('graph ', 'graph NAME {');
    const builder = new GraphBuilder(first.name('the name of the graph'));
    first.take('{');
    first.end();
    let closed = false;
    for (const line of rest) {
      if (line.done) continue;
      if (closed) line.end();
      else if (line.takes('}')) closed = true;
      else if (line.takes('in ')) this.input(line, builder);
      else if (line.takes('out ')) this.output(line, builder);
      else if (this.outputs.length > 0) throw line.unexpected('out or }: outputs come last');
      else this.node(line, builder);
      line.end();
    }
    if (!closed) throw (this.lines.at(-1) as Line).error('found the end of the text, expected }');
    return builder.finish(this.outputs);
  }

  private input(line: Line, builder: GraphBuilder): void {
    if (builder.nodes.length > 0 || this.outputs.length > 0)
      throw line.error('found an input, expected it before nodes');
    const role = line.oneOf(keysOf(inputFacts));
    const { key, name } = line.value('%NAME');
    if (this.inputs.has(name)) throw line.error(`the input ${name} is defined already`);
    line.take(':');
    const type = readType(line);
    const facts = readInputFacts(line, role);
    this.inputs.add(name);
    this.define(line, key, builder.input(type, { ...facts, role, name } as Parameters<GraphBuilder['input']>[1]));
  }

  private node(line: Line, builder: GraphBuilder): void {
    const written: { key: string; type: TensorType }[] = [];
    do {
      const { key } = line.value('in, out, } or a node such as %0: f32[N] = relu(%x)');
      line.take(':');
      written.push({ key, type: readType(line) });
    } while (line.takes(','));
    line.take('=');
    const operator = readOperator(line);
    const operands = line.list('(', ')', () => this.valueOf(line));
    const attributes = readAttributes(line, operator, written[0]?.type as TensorType);
    builder.origin = readOrigin(line);
    const outputs = emitted(line, builder, operator, operands, attributes);
    if (outputs.length !== written.length) {
      throw line.error(`found ${written.length} outputs, expected the ${outputs.length} that ${operator} gives`);
    }
    for (const [index, value] of outputs.entries()) {
      const { key, type } = written[index] as (typeof written)[number];
      if (!sameType(type, value.type)) {
        throw line.error(
          `found ${key}: ${formatType(type)}, expected the ${formatType(value.type)} that ${operator} gives`,
        );
      }
      this.define(line, key, value);
    }
  }

  private output(line: Line, builder: GraphBuilder): void {
    const role = line.oneOf(keysOf(outputRoles));
    const name = line.name('the name of the output');
    if (this.outputs.some((output) => output.name === name)) throw line.error(`the output ${name} is defined already`);
    if (role === 'result') {
      line.take('=');
      this.outputs.push({ role, name, value: this.valueOf(line) });
      return;
    }
    line.take('of ', 'of INPUT');
    const of = line.name('the name of an input');
    const target = builder.inputs.find((input) => input.name === of);
    if (!target) throw line.error(`the output ${name} belongs to ${of}, expected the name of an input`);
    line.take('=');
    const value = this.valueOf(line);
    if (!sameType(value.type, target.value.type)) {
      const expected = `the ${formatType(target.value.type)} of ${of}`;
      throw line.error(`the output ${name} is ${formatType(value.type)}, expected ${expected}`);
    }
    this.outputs.push({ role, name, of, value });
  }

  private define(line: Line, key: string, value: Value): void {
    if (this.values.has(key)) throw line.error(`${key} is defined already`);
    this.values.set(key, value);
  }

  private valueOf(line: Line): Value {
    const { key } = line.value('a value such as %0');
    const value = this.values.get(key);
    if (!value) throw line.error(`found ${key}, expected a value that is defined above`);
    return value;
  }
}

function readType(line: Line): TensorType {
  const short = line.oneOf(Object.values(shortNames));
  const dtype = keysOf(shortNames).find((each) => shortNames[each] === short) as DType;
  const shape = line.list('[', ']', () => {
    const dim = line.attribute();
    if (!isDim(dim)) throw line.error(`found ${String(dim)}, expected an extent such as 3, N or 4*N`);
    return dim;
  });
  return { dtype, shape };
}

/** The rest of an input beside its name and type. */
function readInputFacts(line: Line, role: Role): Record<string, unknown> {
  const allowed = inputFacts[role];
  const facts: Record<string, unknown> = {};
  if (line.takes('{')) {
    if (allowed.length === 0) throw line.unexpected(`nothing in braces: an input of role ${role} has no more facts`);
    do {
      const fact = line.oneOf(allowed);
      line.take('=');
      if (fact in facts) throw line.error(`${fact} is given twice`);
      if (fact === 'initializer') facts[fact] = readInitializer(line);
      else if (fact === 'momentum') facts[fact] = line.number();
      else if (fact === 'parameter') facts[fact] = line.name('the name of a parameter');
      else facts[fact] = line.oneOf(['true']) === 'true';
    } while (line.takes(','));
    line.take('}', ', or }');
  }
  for (const fact of ['momentum', 'parameter'] as const) {
    if (allowed.includes(fact) && !(fact in facts)) throw line.unexpected(`{${fact}=…} for an input of role ${role}`);
  }
  if (allowed.includes('initializer')) facts.initializer ??= { kind: 'constant', value: 0 };
  return facts;
}

function readInitializer(line: Line): Initializer {
  const kind = line.oneOf(keysOf(initializerKinds));
  line.take('(');
  const value = line.number();
  line.take(')');
  if (kind === 'constant') return { kind, value };
  return kind === 'normal' ? { kind, deviation: value } : { kind, bound: value };
}

function readOperator(line: Line): OperatorName {
  const word = line.word('the name of an operator');
  const operators = keysOf(attributeKinds);
  const operator = operators.find((each) => each === word);
  if (operator) return operator;
  throw line.error(`found the operator ${word}, which there is not; the nearest is ${nearest(word, operators)}`);
}

/** Attributes in the order of the text, each as its operator has it. */
function readAttributes(line: Line, operator: OperatorName, type: TensorType): Record<string, unknown> {
  const kinds: Readonly<Record<string, AttributeKind>> = attributeKinds[operator];
  const attributes: Record<string, unknown> = {};
  if (line.takes('{')) {
    do {
      const name = line.word('the name of an attribute');
      const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      if (!kind) {
        const known = Object.keys(kinds).join(', ') || 'none';
        throw line.error(`found the attribute ${name}, expected one of ${operator}: ${known}`);
      }
      if (Object.hasOwn(attributes, name)) throw line.error(`the attribute ${name} is given twice`);
      line.take('=');
      const value = line.attribute();
      if (!kind.accepts(value)) {
        throw line.error(`found ${name}=${JSON.stringify(value)}, expected ${kind.expected}`);
      }
      attributes[name] = operator === 'constant' ? readTensor(line, value as WrittenTensor, type) : value;
    } while (line.takes(','));
    line.take('}', ', or }');
  }
  const missing = Object.keys(kinds).find((name) => !kinds[name]?.optional && !Object.hasOwn(attributes, name));
  if (missing) throw line.error(`${operator} lacks the attribute ${missing}, expected ${kinds[missing]?.expected}`);
  return attributes;
}

/** A constant's tensor, its elements of the type that is written before it. */
function readTensor(line: Line, { shape, elements }: WrittenTensor, { dtype }: TensorType): TensorData {
  if (elements.length !== elementCount(shape)) {
    throw line.error(`found ${elements.length} elements, expected ${elementCount(shape)} for [${shape.join(', ')}]`);
  }
  const outside = elements.find((element) => !fits[dtype](element));
  if (outside !== undefined) throw line.error(`found the element ${outside}, expected one of the type ${dtype}`);
  switch (dtype) {
    case 'float32':
      return { dtype, shape, data: Float32Array.from(elements, Number) };
    case 'int64':
      return { dtype, shape, data: BigInt64Array.from(elements, BigInt) };
    case 'uint32':
      return { dtype, shape, data: Uint32Array.from(elements, Number) };
    case 'bool':
      return { dtype, shape, data: Uint8Array.from(elements, Number) };
  }
}

/** Whether an element can be of a type. */
const fits: Readonly<Record<DType, (element: string) => boolean>> = {
  float32: () => true,
  int64: (element) => /^-?\d+$/.test(element) && BigInt.asIntN(64, BigInt(element)) === BigInt(element),
  uint32: (element) => /^\d+$/.test(element) && Number(element) < 2 ** 32,
  bool: (element) => element === '0' || element === '1',
};

function readOrigin(line: Line): Node['origin'] {
  if (!line.takes('#')) return { scope: '', phase: 'forward' };
  const phase = line.oneOf(keysOf(phases));
  return { scope: line.done ? '' : line.name('a layer'), phase };
}

/** Appends the node. Its operator's own rule tells whether operands and attributes fit. */
function emitted(
  line: Line,
  builder: GraphBuilder,
  operator: OperatorName,
  operands: readonly Value[],
  attributes: Record<string, unknown>,
): readonly Value[] {
  try {
    return builder.emitAll(operator, operands, attributes as unknown as OperatorAttributes[OperatorName]);
  } catch (error) {
    if (error instanceof DensecError) throw line.error(error.message);
    throw error;
  }
}

/** The word that takes the fewest changes of a letter to become. */
function nearest(word: string, words: readonly string[]): string {
  const distances = words.map((each) => ({ each, distance: editDistance(word.toLowerCase(), each.toLowerCase()) }));
  return distances.reduce((best, other) => (other.distance < best.distance ? other : best)).each;
}

/** Letters to insert, to drop or to replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const replaced = (row[j] as number) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row.at(-1) as number;
}
