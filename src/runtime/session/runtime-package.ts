/** @file The npm package that the runtime comes in: where it is, its version, and why it can't be loaded. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FailureError } from '../../ir/index.js';
import { ownRequire } from '../../own-files.js';

const manifest = 'onnxruntime-node/package.json';

/** The file by which Node reaches the runtime. */
const binding = 'onnxruntime_binding.node';

/** The version that densec depends on. */
export const wantedVersion = '1.30.0';

/** The platforms that the package has libraries for, as Node names them. */
const platforms = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];

/** What needs no runtime. */
const without = 'build, info, plan and export work without it';

/** The folder of onnxruntime-node. @throws FailureError when it isn't installed */
function runtimeFolder(): string {
  try {
    return dirname(ownRequire().resolve(manifest));
  } catch (error) {
    if (error instanceof FailureError) throw error;
    throw new FailureError(explainRuntime(error as Error), { cause: error });
  }
}

/** The version of onnxruntime-node that is installed; `none` where there is none. */
export function runtimeVersion(): string {
  try {
    return (ownRequire()(manifest) as { version: string }).version;
  } catch {
    return 'none';
  }
}

/** The folder of the runtime's libraries for this platform. @throws FailureError when the package isn't installed */
export function libraryFolder(): string {
  return join(runtimeFolder(), 'bin', 'napi-v6', process.platform, process.arch);
}

/** Requires that the runtime's library is there. @throws FailureError with what helps where it isn't */
export function requireRuntime(): void {
  const folder = installedFolder();
  if (folder !== undefined && existsSync(join(folder, binding))) return;
  throw new FailureError(explainRuntime(new Error(`${binding} is missing`)));
}

/** Why the runtime's package can't be loaded, and what helps, in a sentence. */
export function explainRuntime({ message }: Error): string {
  const [reason = ''] = message.split('\n');
  const platform = `${process.platform}-${process.arch}`;
  if (/VERS_[\d.]+/.test(message)) {
    return `another version of onnxruntime is loaded in this process already, since the project depends on another onnxruntime-node than densec (${wantedVersion}); let it depend on ${wantedVersion}, or run densec in a process of its own`;
  }
  if (!platforms.includes(platform)) {
    return `onnxruntime-node has no library for ${platform}, only for ${platforms.join(', ')}; ${without}`;
  }
  if (isMusl()) {
    return `onnxruntime-node's library needs glibc, and this Linux has musl (${reason}); use an image with glibc, as node:20-slim; ${without}`;
  }
  const folder = installedFolder();
  if (folder === undefined || !existsSync(join(folder, binding))) {
    const missing =
      folder === undefined ? 'onnxruntime-node is not installed' : `the runtime's library is missing in ${folder}`;
    return `${missing}; install the packages again (rm -rf node_modules, then npm ci or npm install --ignore-scripts); ${without}`;
  }
  return `the runtime's library in ${folder} can't be loaded: ${reason}; install the packages again (rm -rf node_modules, then npm ci or npm install --ignore-scripts)`;
}

function installedFolder(): string | undefined {
  try {
    return libraryFolder();
  } catch {
    return undefined;
  }
}

function isMusl(): boolean {
  if (process.platform !== 'linux') return false;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime === undefined;
}
