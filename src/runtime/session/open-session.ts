/** @file Opens a session: at the runtime's C API where that was tried, else by Node's binding. */

import './telemetry.js';
import { DensecError, FailureError, InternalError, RequestError } from '../../ir/index.js';
import { explainDevice } from './device-problems.js';
import type { ModelSession, RuntimeFacts, SessionRequest } from './model-session.js';
import { runtimeChoice } from './runtime-choice.js';
import { explainRuntime } from './runtime-package.js';

/**
 * Opens a session.
 * @throws RequestError when DENSEC_RUNTIME says something unknown, or the device would not run all that reads floats of a batch;
 * FailureError when the model or a library can't be loaded
 */
export async function openSession(request: SessionRequest): Promise<ModelSession> {
  const { reason, version } = await runtimeChoice();
  if (reason === undefined) {
    const { CSession } = await import('./ort/c-session.js');
    return explained(request, CSession.open(request));
  }
  refuseWithoutApi(request, reason);
  const { StatefulSession } = await import('./binding-session.js').catch((error: Error) => {
    throw new FailureError(explainRuntime(error), { cause: error });
  });
  const facts: RuntimeFacts = { api: 'binding', version, reason };
  try {
    return await explained(request, StatefulSession.open(request, facts));
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

/** A session that is being opened; what the runtime says where the device can't be used is told with what helps. */
async function explained(request: SessionRequest, opening: Promise<ModelSession>): Promise<ModelSession> {
  try {
    return await opening;
  } catch (error) {
    const problem = explainDevice(request.device, (error as Error).message);
    if (!problem && (error instanceof DensecError || error instanceof InternalError)) throw error;
    if (!problem) throw new FailureError((error as Error).message, { cause: error });
    throw new FailureError(`${problem.detail}; ${problem.remedy}`, { cause: error });
  }
}

/** @throws RequestError for what Node's binding can't be told */
function refuseWithoutApi({ device, tf32 }: SessionRequest, reason: string): void {
  if (device.target !== 'cuda' || tf32 !== false) return;
  throw new RequestError(
    `products on CUDA can't be kept in float32 (--no-tf32) by Node's binding, which is used here: ${reason}; leave the option out, or run at the runtime's C API (DENSEC_RUNTIME=c)`,
  );
}
