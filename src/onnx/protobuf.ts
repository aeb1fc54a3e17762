/** @file The typed side of onnx-proto: the few message types we use, encoded with their field names checked. */

import onnxProto from 'onnx-proto';
import { FailureError } from '../ir/index.js';

/*
 * The messages as far as we write and read them. They are stated here, and not taken from onnx-proto, so that our
 * typings stand by themselves: those of onnx-proto don't compile under `strict` in every project.
 */

/** A 64-bit integer, as protobuf decodes it. */
type Int64 = number | { toString(): string };

export interface AttributeProto {
  readonly name?: string | null;
  readonly type?: number | null;
  readonly i?: Int64 | null;
  readonly f?: number | null;
  readonly s?: Uint8Array | null;
  readonly ints?: readonly Int64[] | null;
}

export interface NodeProto {
  readonly opType?: string | null;
  readonly domain?: string | null;
  readonly name?: string | null;
  readonly input?: readonly string[] | null;
  readonly output?: readonly string[] | null;
  readonly attribute?: readonly AttributeProto[] | null;
}

export interface TensorProto {
  readonly name?: string | null;
  readonly dataType?: number | null;
  readonly dims?: readonly Int64[] | null;
  readonly rawData?: Uint8Array | null;
}

interface Dimension {
  readonly dimValue?: Int64 | null;
  readonly dimParam?: string | null;
}

export interface ValueInfoProto {
  readonly name?: string | null;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType?: number | null;
      readonly shape?: { readonly dim?: readonly Dimension[] | null } | null;
    } | null;
  } | null;
}

interface GraphProto {
  readonly name?: string | null;
  readonly node?: readonly NodeProto[] | null;
  readonly initializer?: readonly TensorProto[] | null;
  readonly valueInfo?: readonly ValueInfoProto[] | null;
  readonly input?: readonly ValueInfoProto[] | null;
  readonly output?: readonly ValueInfoProto[] | null;
}

export interface ModelProto {
  readonly irVersion?: Int64 | null;
  readonly producerName?: string | null;
  readonly opsetImport?: readonly { readonly domain?: string | null; readonly version?: Int64 | null }[] | null;
  readonly graph?: GraphProto | null;
  readonly metadataProps?: readonly { readonly key?: string | null; readonly value?: string | null }[] | null;
}

const { ModelProto: Model } = onnxProto.onnx;

/** ONNX's numbers of the element types we use. */
export const elementTypes = { float32: 1, int64: 7, bool: 9, uint32: 12 } as const;

/** ONNX's numbers of the attribute types we use. */
export const attributeTypes = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** The bytes of a model. */
export function encodeModel(model: ModelProto): Uint8Array {
  // onnx-proto asks for mutable arrays, which it doesn't change.
  return Model.encode(model as Parameters<typeof Model.encode>[0]).finish();
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
