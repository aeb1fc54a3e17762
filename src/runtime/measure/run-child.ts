/** @file Runs a measurement in a fresh process: its high-water mark, heap and arena are its own. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { FailureError } from '../../ir/index.js';
import { ownFile } from '../../own-files.js';
import type {
  Ceilings,
  CeilingsRequest,
  ChildReply,
  ChildRequest,
  StepsMeasurement,
  StepsRequest,
} from './protocol.js';

/**
 * Measures in a process of its own.
 * @throws FailureError with what the process said, or how it ended
 */
export function runChild(request: StepsRequest): Promise<StepsMeasurement>;
export function runChild(request: CeilingsRequest): Promise<Ceilings>;
export function runChild(request: ChildRequest): Promise<StepsMeasurement | Ceilings> {
  const child = fork(fileURLToPath(ownFile('runtime/measure/child.js')), [], {
    execArgv: ['--expose-gc'],
    // stdout belongs to the parent's one JSON document.
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return answer(child, request);
}

async function answer(child: ChildProcess, request: ChildRequest): Promise<StepsMeasurement | Ceilings> {
  let reply: ChildReply | undefined;
  let complaint = '';
  child.on('message', (message: ChildReply) => {
    reply = message;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(-2000);
  });
  const ended = new Promise<string>((resolve, reject) => {
    child.on('error', (error) =>
      reject(new FailureError(`a measuring process can't be started: ${error.message}`, { cause: error })),
    );
    child.on('close', (code, signal) => resolve(signal ? `was ended by ${signal}` : `ended with code ${code}`));
  });
  child.send(request, () => undefined);
  const end = await ended;
  const what = request.kind === 'steps' ? `measuring ${request.bundle}` : "measuring the machine's ceilings";
  if (reply === undefined) {
    const remedy = end.includes('SIGKILL') ? '; if memory ran out, choose a smaller batch' : '';
    throw new FailureError(`${what}: the process ${end}${remedy}${complaint && `\n${complaint.trim()}`}`);
  }
  if ('error' in reply) throw new FailureError(`${what}: ${reply.error}`);
  return reply.value;
}
