/** @file Writes a lowered graph as an ONNX model. */

import {
  batch,
  bytesPerElement,
  formatType,
  type Graph,
  InternalError,
  isStatic,
  type Node,
  type NodeOf,
  type OperatorName,
  sizeOf,
  type TensorData,
  type TensorType,
  type Value,
} from '../ir/index.js';
import { bufferNumbers, type NamedValues, type RunNode } from '../memory/buffers.js';
import { executionOrder } from '../memory/execution-order.js';
import { placeNodes } from '../memory/place.js';
import { shareBuffers } from '../memory/share-buffers.js';
import { absent, type OnnxAttribute, type OnnxOperation, onnxWriters } from './operators.js';
import {
  type AttributeProto,
  attributeTypes,
  elementTypes,
  encodeModel,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './protobuf.js';

/** The operator set of every model we write; later ones lack kernels on some providers. */
const opset = 17;

/**
 * The bytes of an ONNX model (opset 17, IR version 8) that computes a graph. Inputs and outputs keep their names, the
 * batch size is symbolic, constants become initializers. The order of the graph's nodes is a plan: the model is written so
 * that the runtime executes them in this order and reuses memory as it says.
 * @param metadata free text by key, kept in the model's `metadata_props`
 * @throws InternalError when a composite operator is left
 */
export function encodeGraph(graph: Graph, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const metadataProps = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  return encodeModel({ ...new Encoder(graph).model(), metadataProps });
}

/**
 * A graph as ONNX, not yet bytes, with the names its values have there.
 * @param order of the nodes: `placed` for the runtime, or `planned`, as in the graph, to look at only
 */
export function toModel(
  graph: Graph,
  order: 'placed' | 'planned' = 'placed',
): { readonly model: ModelProto; readonly names: ReadonlyMap<Value, string> } {
  const encoder = new Encoder(graph);
  return { model: encoder.model(order), names: encoder.names };
}

class Encoder {
  readonly names = new Map<Value, string>();
  private readonly taken = new Set<string>();
  private readonly counts = new Map<string, number>();
  private readonly used: ReadonlySet<Value>;
  private readonly initializers: TensorProto[] = [];
  private readonly shared = new Map<string, string>();
  private readonly nodes: NodeProto[] = [];
  /** Operator sets beside ONNX's own. */
  private readonly domains = new Set<string>();

  constructor(private readonly graph: Graph) {
    this.used = new Set([...graph.nodes.flatMap((node) => node.inputs), ...graph.outputs.map(({ value }) => value)]);
  }

  model(order: 'placed' | 'planned' = 'placed'): ModelProto {
    const { graph } = this;
    for (const { name, value } of graph.inputs) this.names.set(value, this.take(name));
    for (const { name } of graph.outputs) this.take(name);
    const aliases = this.nameOutputs();
    for (const node of graph.nodes) this.encodeNode(node);
    for (const [name, value] of aliases) {
      this.nodes.push({ opType: 'Identity', name, input: [this.nameOf(value)], output: [name] });
    }
    const { nodes, executed } = order === 'placed' ? this.placed() : { nodes: this.nodes, executed: [] };
    return {
      irVersion: 8,
      producerName: 'densec',
      opsetImport: [
        { domain: '', version: opset },
        ...[...this.domains].sort().map((domain) => ({ domain, version: 1 })),
      ],
      graph: {
        name: graph.name,
        node: nodes,
        initializer: this.initializers,
        valueInfo: this.valueInfos(executed),
        input: graph.inputs.map(({ name, value }) => valueInfo(name, value.type)),
        output: graph.outputs.map(({ name, value }) => valueInfo(name, value.type)),
      },
    };
  }

  /** Gives each output's value its name; a value that has one already is copied under the other names. */
  private nameOutputs(): [string, Value][] {
    const constants = new Set(
      this.graph.nodes.filter(({ operator }) => operator === 'constant').flatMap((node) => node.outputs),
    );
    return this.graph.outputs.flatMap(({ name, value }): [string, Value][] => {
      if (this.names.has(value) || constants.has(value)) return [[name, value]];
      this.names.set(value, name);
      return [];
    });
  }

  private encodeNode(node: Node): void {
    if (node.operator === 'constant') {
      const [value] = node.outputs;
      if (value && this.used.has(value)) this.names.set(value, this.constant(node.attributes.value));
      return;
    }
    const writer = onnxWriters[node.operator] as ((node: NodeOf<OperatorName>) => OnnxOperation) | 'composite';
    if (writer === 'composite') throw new InternalError(`${node.operator} was not lowered`);
    const operation = writer(node as NodeOf<OperatorName>);
    const operands =
      operation.operands?.map((index) => (index === absent ? undefined : node.inputs[index])) ?? node.inputs;
    if (operation.domain) this.domains.add(operation.domain);
    const output = this.outputNames(node, operation.optionalOutputs ?? false);
    this.nodes.push({
      opType: operation.operator,
      domain: operation.domain ?? '',
      name: output[0] ?? '',
      input: [
        ...(operation.leading ?? []).map((tensor) => this.constant(tensor)),
        ...operands.map((value) => (value ? this.nameOf(value) : '')),
        ...(operation.trailing ?? []).map((tensor) => this.constant(tensor)),
      ],
      output,
      attribute: Object.entries(operation.attributes ?? {}).map(([name, value]) => encodeAttribute(name, value)),
    });
  }

  /** The nodes as they stand in the file, and as the runtime will execute them. */
  private placed(): { readonly nodes: NodeProto[]; readonly executed: readonly RunNode[] } {
    const initializers = new Set(this.initializers.map(({ name }) => name));
    // An output ends the life of what it is made of; for state, that is all the gradients of a segment.
    const large = new Set(this.graph.outputs.map(({ name }) => name));
    for (const [{ type }, name] of this.names) if (!isStatic(type.shape)) large.add(name);
    const planned = this.nodes.map((proto) => ({
      proto,
      small: ![...(proto.input ?? []), ...(proto.output ?? [])].some((name) => large.has(name)),
      operator: proto.opType ?? '',
      inputs: (proto.input ?? []).map((name) => (initializers.has(name) ? '' : name)),
      outputs: proto.output ?? [],
    }));
    const nodes = placeNodes(planned);
    const executed = executionOrder({ nodes }).map((index) => nodes[index] as (typeof nodes)[number]);
    return { nodes: nodes.map(({ proto }) => proto), executed };
  }

  /** Types of all values with a batch axis, which is named after the buffer that holds them. */
  private valueInfos(executed: readonly RunNode[]): ValueInfoProto[] {
    const { graph, names } = this;
    const types = new Map([...names].map(([{ type }, name]) => [name, type]));
    const fixed = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
    const values: NamedValues = {
      typeOf: (name) => {
        const type = types.get(name);
        return type && formatType(type);
      },
      bytesOf: (name) => {
        const type = types.get(name);
        const size = type && sizeOf(type.shape);
        return type && size?.symbols.length === 1 ? size.factor * bytesPerElement[type.dtype] : 0;
      },
      fixed,
    };
    const numbers = shareBuffers(executed, bufferNumbers(executed, values), values);
    return [...numbers].flatMap(([name, number]) => {
      const type = types.get(name);
      if (!type || fixed.has(name) || isStatic(type.shape)) return [];
      const shape = type.shape.map((dim) => (typeof dim === 'number' ? dim : dim.replace(batch, `${batch}_${number}`)));
      return [valueInfo(name, { ...type, shape })];
    });
  }

  private outputNames(node: Node, optional: boolean): string[] {
    const lastUsed = node.outputs.findLastIndex((value) => this.used.has(value));
    return node.outputs.slice(0, optional ? Math.max(1, lastUsed + 1) : undefined).map((value) => {
      const { scope, phase } = node.origin;
      const place = phase === 'forward' ? scope : [phase, scope].filter(Boolean).join('/');
      const name = this.names.get(value) ?? this.unique([place, node.operator].filter(Boolean).join('/'));
      this.names.set(value, name);
      return name;
    });
  }

  /** The name of an initializer that holds a tensor; equal small tensors share one. */
  private constant(tensor: TensorData): string {
    const bytes = Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    const key =
      tensor.data.length <= 4096 ? `${tensor.dtype}[${tensor.shape.join()}]${bytes.toString('base64')}` : undefined;
    const known = key === undefined ? undefined : this.shared.get(key);
    if (known) return known;
    const name = this.unique('constant');
    if (key !== undefined) this.shared.set(key, name);
    this.initializers.push({ name, dataType: elementTypes[tensor.dtype], dims: [...tensor.shape], rawData: bytes });
    return name;
  }

  private nameOf(value: Value): string {
    const name = this.names.get(value);
    if (name === undefined) throw new InternalError(`a value of ${this.graph.name} is used before it is computed`);
    return name;
  }

  private take(name: string): string {
    if (this.taken.has(name)) throw new InternalError(`two values of ${this.graph.name} would be named ${name}`);
    this.taken.add(name);
    return name;
  }

  private unique(base: string): string {
    let count = this.counts.get(base) ?? 0;
    let name = count === 0 ? base : `${base}.${count}`;
    while (this.taken.has(name)) name = `${base}.${++count}`;
    this.counts.set(base, count + 1);
    return this.take(name);
  }
}

function valueInfo(name: string, { dtype, shape }: TensorType): ValueInfoProto {
  const dim = shape.map((extent) => (typeof extent === 'number' ? { dimValue: extent } : { dimParam: extent }));
  return { name, type: { tensorType: { elemType: elementTypes[dtype], shape: { dim } } } };
}

function encodeAttribute(name: string, value: OnnxAttribute): AttributeProto {
  if (typeof value === 'string') return { name, type: attributeTypes.string, s: Buffer.from(value) };
  if (typeof value === 'number') return { name, type: attributeTypes.int, i: value };
  if ('float' in value) return { name, type: attributeTypes.float, f: value.float };
  return { name, type: attributeTypes.ints, ints: [...value] };
}
