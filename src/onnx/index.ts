/** @file Writing and reading ONNX: the only room that knows protobuf. */

export { encodeGraph, opset, toModel } from './encode.js';
export { nonFiniteWeight } from './finite.js';
export { inputTypes, valueTypes } from './inputs.js';
export { type KernelName, kernelOf } from './kernel.js';
export { viewOperators } from './operators.js';
export { type Program, type ProgramNode, programOf } from './program.js';
export { decodeModel, elementTypes, modelMetadata, sampleShape } from './protobuf.js';
