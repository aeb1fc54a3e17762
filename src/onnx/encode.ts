/** @file Writes a scheduled graph as an ONNX model: a node for a node, in the schedule's order, buffers by its numbers. */

import {
  batch,
  type Graph,
  InternalError,
  Names,
  type Node,
  type NodeOf,
  type OperatorName,
  type TensorData,
  type TensorType,
  usedValues,
  type Value,
} from '../ir/index.js';
import { type Schedule, schedule } from '../memory/schedule.js';
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
export const opset = 17;

/**
 * The bytes of an ONNX model (opset 17, IR version 8) that computes a graph. Inputs and outputs keep their names, the
 * batch size is symbolic, constants become initializers. The runtime executes the model in the schedule's order and reuses
 * memory as it says.
 * @param graph a lowered graph, which is scheduled here, or the schedule of one
 * @param metadata free text by key, kept in the model's `metadata_props`
 * @throws InternalError when a composite operator is left
 */
export function encodeGraph(graph: Graph | Schedule, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const metadataProps = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  return encodeModel({ ...toModel(graph), metadataProps });
}

/** A graph or a schedule as ONNX, not yet bytes. */
export function toModel(graph: Graph | Schedule): ModelProto {
  return new Encoder('order' in graph ? graph : schedule(graph)).model();
}

class Encoder {
  private readonly graph: Graph;
  /** Gives initializers their names. */
  private readonly names: Names;
  private readonly used: ReadonlySet<Value>;
  private readonly constants = new Map<Value, string>();
  private readonly initializers: TensorProto[] = [];
  private readonly shared = new Map<string, string>();
  /** Operator sets beside ONNX's own. */
  private readonly domains = new Set<string>();

  constructor(private readonly schedule: Schedule) {
    this.graph = schedule.graph;
    this.names = new Names(schedule.graph.name, schedule.names.values());
    this.used = usedValues(schedule.graph);
  }

  model(): ModelProto {
    const { graph, schedule } = this;
    // In the graph's own order, so that initializers stand in the order in which they are wanted.
    const encoded = new Map<Node, NodeProto>();
    for (const node of graph.nodes) {
      if (node.operator === 'constant') this.addConstant(node);
      else encoded.set(node, this.encodeNode(node));
    }
    return {
      irVersion: 8,
      producerName: 'densec',
      opsetImport: [
        { domain: '', version: opset },
        ...[...this.domains].sort().map((domain) => ({ domain, version: 1 })),
      ],
      graph: {
        name: graph.name,
        node: schedule.file.map(({ node }) => encoded.get(node) as NodeProto),
        initializer: this.initializers,
        valueInfo: this.valueInfos(),
        input: graph.inputs.map(({ name, value }) => valueInfo(name, value.type)),
        output: graph.outputs.map(({ name, value }) => valueInfo(name, value.type)),
      },
    };
  }

  private addConstant({ outputs: [value], attributes }: NodeOf<'constant'>): void {
    if (value && this.used.has(value)) this.constants.set(value, this.constant(attributes.value));
  }

  private encodeNode(node: Node): NodeProto {
    const writer = onnxWriters[node.operator] as ((node: NodeOf<OperatorName>) => OnnxOperation) | 'composite';
    if (writer === 'composite') throw new InternalError(`${node.operator} was not lowered`);
    const operation = writer(node as NodeOf<OperatorName>);
    const operands =
      operation.operands?.map((index) => (index === absent ? undefined : node.inputs[index])) ?? node.inputs;
    if (operation.domain) this.domains.add(operation.domain);
    const output = node.outputs.flatMap((value) => this.schedule.names.get(value) ?? []);
    return {
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
    };
  }

  /** Types of all values with a batch axis, which is named after the buffer that holds them. */
  private valueInfos(): ValueInfoProto[] {
    return [...this.schedule.buffers].map(([value, number]) => {
      const { dtype, shape } = value.type;
      const named = shape.map((dim) => (typeof dim === 'number' ? dim : dim.replace(batch, `${batch}_${number}`)));
      return valueInfo(this.nameOf(value), { dtype, shape: named });
    });
  }

  /** The name of an initializer that holds a tensor; equal small tensors share one. */
  private constant(tensor: TensorData): string {
    const bytes = Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    const key =
      tensor.data.length <= 4096 ? `${tensor.dtype}[${tensor.shape.join()}]${bytes.toString('base64')}` : undefined;
    const known = key === undefined ? undefined : this.shared.get(key);
    if (known) return known;
    const name = this.names.unique('constant');
    if (key !== undefined) this.shared.set(key, name);
    this.initializers.push({ name, dataType: elementTypes[tensor.dtype], dims: [...tensor.shape], rawData: bytes });
    return name;
  }

  private nameOf(value: Value): string {
    const name = this.schedule.names.get(value) ?? this.constants.get(value);
    if (name === undefined) throw new InternalError(`a value of ${this.graph.name} is used before it is computed`);
    return name;
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
