/** @file Bundles with a model that is broken on purpose. */

import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { executionOrder } from '../../src/memory/execution-order.js';
import { programOf } from '../../src/onnx/program.js';
import {
  type AttributeProto,
  decodeModel,
  encodeModel,
  type ModelProto,
  type TensorProto,
} from '../../src/onnx/protobuf.js';
import { type Bundle, openBundle, sha256 } from '../../src/runtime/bundle/bundle.js';

/** A node that may be changed. */
export interface OpenNode {
  readonly opType: string;
  name: string;
  input: string[];
  output: string[];
  readonly attribute?: readonly AttributeProto[];
}

/** The graph of a model, to be changed. */
export class Surgery {
  constructor(private readonly model: ModelProto) {}

  /** All nodes in the order of the file. */
  get nodes(): OpenNode[] {
    return (this.model.graph?.node ?? []) as unknown as OpenNode[];
  }

  get initializers(): TensorProto[] {
    return (this.model.graph?.initializer ?? []) as TensorProto[];
  }

  /** The node that computes a value. */
  producer(name: string): OpenNode | undefined {
    return this.nodes.find(({ output }) => output?.includes(name));
  }

  isInitializer(name: string): boolean {
    return this.initializers.some((tensor) => tensor.name === name);
  }

  /** Tokens: reshapes whose extents are computed. */
  tokens(prefix: string): OpenNode[] {
    return this.nodes.filter(
      ({ opType, name, input }) =>
        opType === 'Reshape' && name?.startsWith(prefix) && !this.isInitializer(input?.[1] ?? ''),
    );
  }

  /** Lets all that read one value read another, but for the node `except`. */
  rewire(from: string, to: string, except?: OpenNode): void {
    for (const node of this.nodes) {
      if (node !== except) node.input = (node.input ?? []).map((name) => (name === from ? to : name));
    }
  }

  remove(node: OpenNode): void {
    this.nodes.splice(this.nodes.indexOf(node), 1);
  }

  /** Removes all that nothing reads. */
  prune(): void {
    const { graph } = this.model;
    const read = (): Set<string> =>
      new Set([
        ...this.nodes.flatMap(({ input }) => input ?? []),
        ...(graph?.output ?? []).map(({ name }) => name ?? ''),
      ]);
    for (let before = -1; before !== this.nodes.length; ) {
      before = this.nodes.length;
      const used = read();
      const kept = this.nodes.filter(({ output }) => output?.some((name) => used.has(name)));
      this.nodes.splice(0, before, ...kept);
    }
  }

  /** Whether a value is computed from an input of the graph. */
  dependsOn(name: string, input: string): boolean {
    return name === input || this.sources(name, (node) => node.input?.includes(input) === true).length > 0;
  }

  /** Puts every node behind those that it reads, else leaves them in their order. */
  sort(): void {
    const producers = new Map(this.nodes.flatMap((node) => (node.output ?? []).map((output) => [output, node])));
    const sorted = new Set<OpenNode>();
    const visit = (node: OpenNode | undefined): void => {
      if (!node || sorted.has(node)) return;
      for (const name of node.input ?? []) visit(producers.get(name));
      sorted.add(node);
    };
    for (const node of this.nodes) visit(node);
    this.nodes.splice(0, this.nodes.length, ...sorted);
  }

  /** Adds a node, named after its output, and gives the output. */
  add(opType: string, input: string[], output: string, ...attribute: AttributeProto[]): string {
    this.nodes.push({ opType, input, output: [output], name: output, attribute });
    return output;
  }

  /** An initializer of one float. */
  scalar(name: string, value: number): string {
    this.initializers.push({ name, dataType: 1, dims: [], rawData: Buffer.from(Float32Array.of(value).buffer) });
    return name;
  }

  /** Nodes of which a value is computed that fulfil a condition; the search ends at those. */
  sources(name: string, isWanted: (node: OpenNode) => boolean): OpenNode[] {
    const producers = new Map(this.nodes.flatMap((node) => (node.output ?? []).map((output) => [output, node])));
    const seen = new Set<OpenNode>();
    const found: OpenNode[] = [];
    const pending = [name];
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      const node = producers.get(value);
      if (!node || seen.has(node)) continue;
      seen.add(node);
      if (isWanted(node)) found.push(node);
      else pending.push(...(node.input ?? []));
    }
    return found;
  }
}

/** Removes what makes recomputation wait for the backward pass. */
export function removeTokens(surgery: Surgery): void {
  const tokens = surgery.tokens('recompute/');
  if (tokens.length === 0) throw new Error('the model has no tokens to remove');
  for (const token of tokens) surgery.rewire(token.output?.[0] ?? '', token.input?.[0] ?? '');
}

/**
 * Copies a bundle with a changed training model.
 * @param plan whether it keeps its plan, or gets that of the changed model, as a faulty compiler would have made it
 */
export async function brokenBundle(
  sound: Bundle,
  directory: string,
  plan: 'kept' | 'remade',
  change: (surgery: Surgery) => void,
): Promise<Bundle> {
  await cp(sound.directory, directory, { recursive: true });
  const model = decodeModel(await readFile(sound.training), sound.training);
  const surgery = new Surgery(model);
  change(surgery);
  surgery.sort();
  const bytes = encodeModel(model);
  await writeFile(join(directory, sound.manifest.models.training.file), bytes);
  const { models, plan: record, ...rest } = sound.manifest;
  const manifest = {
    ...rest,
    models: { ...models, training: { ...models.training, sha256: sha256(bytes) } },
    plan: plan === 'kept' ? record : { ...record, ...remade(model) },
  };
  await writeFile(join(directory, 'manifest.json'), JSON.stringify(manifest));
  return openBundle(directory);
}

/** The plan of a model by the names of its nodes. */
function remade(model: ModelProto): { order: string[]; recompute: number[]; backward: number } {
  const program = programOf(model);
  const nodes = executionOrder(program).flatMap((index) => program.nodes[index] ?? []);
  const order = nodes.map(({ outputs }) => outputs[0] ?? '');
  const reached = new Set(['logits']);
  const backward = nodes.findIndex(({ inputs, outputs }) => {
    if (!inputs.some((name) => reached.has(name))) return false;
    for (const name of outputs) reached.add(name);
    return outputs[0]?.startsWith('backward/');
  });
  return { order, recompute: [...order.keys()].filter((at) => order[at]?.startsWith('recompute/')), backward };
}
