/** @file The npm package that the runtime comes in: where it is, and its version. */

import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const require = createRequire(import.meta.url);
const manifest = 'onnxruntime-node/package.json';

/** The folder of onnxruntime-node. */
export function runtimeFolder(): string {
  return dirname(require.resolve(manifest));
}

/** The version of onnxruntime-node that is installed. */
export function runtimeVersion(): string {
  return (require(manifest) as { version: string }).version;
}
