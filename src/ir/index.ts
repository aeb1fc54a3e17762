/** @file The intermediate representation: everything other rooms may use of it. */

export * from './builder.js';
export * from './check.js';
export * from './errors.js';
export * from './graph.js';
export * from './names.js';
export * from './operators/index.js';
export * from './outputs.js';
export * from './parse.js';
export { type PrintOptions, printGraph } from './print.js';
export * from './shape.js';
export * from './tensor-data.js';
export * from './verify.js';
