/** @file Opens a session: at the runtime's C API where that was tried, else by Node's binding. */

import './telemetry.js';
import { FailureError, RequestError } from '../../ir/index.js';
import type { ModelSession, RuntimeFacts, SessionRequest } from './model-session.js';
import { explainRuntime, runtimeVersion } from './runtime-package.js';

/** The platforms on which sessions at the C API were run. */
const tried = new Set(['linux-x64']);

/**
 * Opens a session.
 * @throws RequestError when DENSEC_RUNTIME says something unknown; Error of the runtime when the model can't be loaded
 */
export async function openSession(request: SessionRequest): Promise<ModelSession> {
  const reason = await whyBinding(request);
  if (reason === undefined) {
    const { CSession } = await import('./ort/c-session.js');
    return CSession.open(request);
  }
  const { StatefulSession } = await import('./binding-session.js').catch((error: Error) => {
    throw new FailureError(explainRuntime(error), { cause: error });
  });
  const facts: RuntimeFacts = { api: 'binding', version: runtimeVersion(), reason };
  try {
    return await StatefulSession.open(request, facts);
  } catch (error) {
    const { message } = error as Error;
    if (!/\bdensec:\w+\(/.test(message)) throw error;
    if (/\bdensec:AllReduce\(/.test(message)) {
      throw new RequestError(
        `the model is for several processes, whose sums run at the runtime's C API only, and here Node's binding is used: ${reason}; build it without --processes`,
      );
    }
    throw new RequestError(
      `the model has operators of densec's own (--kernels cudnn), which run at the runtime's C API only, and here Node's binding is used: ${reason}; build it with --kernels plain`,
    );
  }
}

/** Why Node's binding is used; undefined where the C API is. */
async function whyBinding({ device }: Pick<SessionRequest, 'device'>): Promise<string | undefined> {
  const wanted = process.env.DENSEC_RUNTIME;
  if (wanted !== undefined && wanted !== '' && wanted !== 'c' && wanted !== 'binding') {
    throw new RequestError(`DENSEC_RUNTIME is ${wanted}; it may be c or binding`);
  }
  if (wanted === 'binding') return 'DENSEC_RUNTIME asks for it';
  if (device.target === 'webgpu') return 'WebGPU is reached by the binding only';
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
