/** @file Writing and reading ONNX: the only room that knows protobuf. */

export { encodeGraph } from './encode.js';
export { decodeModel } from './protobuf.js';
