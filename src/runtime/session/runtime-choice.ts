/**
 * @file How the runtime is reached here: at its C API where that was tried, else by Node's binding. This file loads neither the
 * binding nor what does, so that a bundled program may ask.
 */

import { RequestError } from '../../ir/index.js';
import type { RuntimeFacts } from './model-session.js';
import { runtimeVersion } from './runtime-package.js';

/** The platforms on which sessions at the C API were run. */
const tried = new Set(['linux-x64']);

/** How the runtime is reached here, and why not at its C API. @throws RequestError when DENSEC_RUNTIME says something unknown */
export async function runtimeChoice(): Promise<RuntimeFacts> {
  const reason = await whyBinding();
  return reason === undefined
    ? { api: 'c', version: (await import('./ort/api.js')).ortApi().version }
    : { api: 'binding', version: runtimeVersion(), reason };
}

/** How the runtime is reached, in words. */
export function describeRuntime({ api, version, reason }: RuntimeFacts): string {
  return `${version}, ${api === 'c' ? 'at its C API' : `by Node's binding: ${reason}`}`;
}

/** Why Node's binding is used; undefined where the C API is. */
async function whyBinding(): Promise<string | undefined> {
  const wanted = process.env.DENSEC_RUNTIME;
  if (wanted !== undefined && wanted !== '' && wanted !== 'c' && wanted !== 'binding') {
    throw new RequestError(`DENSEC_RUNTIME is ${wanted}; it may be c or binding`);
  }
  if (wanted === 'binding') return 'DENSEC_RUNTIME asks for it';
  const platform = `${process.platform}-${process.arch}`;
  if (wanted !== 'c' && !tried.has(platform)) {
    return `the C API was not tried on ${platform}; DENSEC_RUNTIME=c asks for it`;
  }
  try {
    (await import('./ort/api.js')).ortApi();
    return undefined;
  } catch (error) {
    if (wanted === 'c') throw error;
    return (error as Error).message;
  }
}
