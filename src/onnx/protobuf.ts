/** @file The typed side of onnx-proto: the few message types we use, encoded with their field names checked. */

import type { onnx } from 'onnx-proto';
import onnxProto from 'onnx-proto';
import { FailureError } from '../ir/index.js';

export type ModelProto = onnx.IModelProto;
export type NodeProto = onnx.INodeProto;
export type TensorProto = onnx.ITensorProto;
export type ValueInfoProto = onnx.IValueInfoProto;
export type AttributeProto = onnx.IAttributeProto;

const { ModelProto: Model } = onnxProto.onnx;

/** ONNX's numbers of the element types we use. */
export const elementTypes = { float32: 1, int64: 7, bool: 9, uint32: 12 } as const;

/** ONNX's numbers of the attribute types we use. */
export const attributeTypes = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** The bytes of a model. */
export function encodeModel(model: ModelProto): Uint8Array {
  return Model.encode(model).finish();
}

/**
 * A model from its bytes.
 * @param path named in errors
 * @throws FailureError when the bytes are not an ONNX model
 */
export function decodeModel(bytes: Uint8Array, path: string): ModelProto {
  let model: ModelProto;
  try {
    model = Model.decode(bytes);
  } catch (error) {
    throw new FailureError(`${path} is not an ONNX model (${(error as Error).message}); build or copy it again`, {
      cause: error,
    });
  }
  if (!model.graph) throw new FailureError(`${path} is an ONNX model without a graph; build or copy it again`);
  return model;
}

/** The free text that a model carries, by key. */
export function modelMetadata({ metadataProps }: ModelProto): Record<string, string> {
  return Object.fromEntries((metadataProps ?? []).map(({ key, value }) => [key ?? '', value ?? '']));
}

/** The static extents of a model's input or output, the batch's left out; undefined where there is no such value. */
export function sampleShape(model: ModelProto, name: string): readonly number[] | undefined {
  const values = [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])];
  const value = values.find((candidate) => candidate.name === name);
  return value?.type?.tensorType?.shape?.dim?.slice(1).map(({ dimValue }) => Number(dimValue));
}
