/** @file Numbers in a model that are none. */

import { elementTypes, type ModelProto, type TensorProto } from './protobuf.js';

/** ONNX's number of half precision, which other tools convert our models to. */
const float16 = 10;

/** The first weight of a model that is not finite, with the node that reads it; undefined where all are. */
export function nonFiniteWeight({ graph }: ModelProto): string | undefined {
  const broken = graph?.initializer?.find((tensor) => !allFinite(tensor));
  if (!broken) return undefined;
  const reader = graph?.node?.find(({ input }) => input?.includes(broken.name ?? ''));
  return reader?.name ? `${broken.name} (read by ${reader.name})` : (broken.name ?? '');
}

function allFinite({ dataType, rawData }: TensorProto): boolean {
  if (!rawData || (dataType !== elementTypes.float32 && dataType !== float16)) return true;
  // A copy, since the bytes of a tensor need not be aligned in the file.
  const { buffer } = new Uint8Array(rawData);
  if (dataType === elementTypes.float32) return new Float32Array(buffer).every(Number.isFinite);
  return new Uint16Array(buffer).every((bits) => (bits & 0x7c00) !== 0x7c00);
}
