/** @file What the runtime will execute: the nodes of an ONNX model with the names they read and write. */

import type { ModelProto } from './protobuf.js';

/** A node of a program. */
export interface ProgramNode {
  readonly name: string;
  /** ONNX's operator. */
  readonly operator: string;
  /** Names of the values read, by position; empty where that is an initializer or absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Nodes in the order of the file, which is the order of their indices in the runtime. */
export interface Program {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly ProgramNode[];
}

/** The program of a model. */
export function programOf({ graph }: ModelProto): Program {
  const initializers = new Set(graph?.initializer?.map(({ name }) => name));
  const names = (list: readonly (string | null | undefined)[] | null | undefined): string[] =>
    (list ?? []).filter((name): name is string => Boolean(name));
  return {
    inputs: names(graph?.input?.map(({ name }) => name)).filter((name) => !initializers.has(name)),
    outputs: names(graph?.output?.map(({ name }) => name)),
    nodes: (graph?.node ?? []).map(({ name, opType, input, output }) => ({
      name: name ?? '',
      operator: opType ?? '',
      inputs: (input ?? []).map((name) => (initializers.has(name) ? '' : name)),
      outputs: names(output),
    })),
  };
}
