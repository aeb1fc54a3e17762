/** @file The thread in which a session lives, since a run blocks its thread. State stays here between runs. */

import { parentPort } from 'node:worker_threads';
import { RequestError } from '../../ir/index.js';
import type { ModelSession } from './model-session.js';
import { openSession } from './open-session.js';
import type { Reply, Request } from './protocol.js';

let session: ModelSession | undefined;
let isProfiled = false;

async function handle(request: Request): Promise<unknown> {
  if (request.kind === 'open') {
    session = await openSession(request);
    isProfiled = request.profilePrefix !== undefined;
    return undefined;
  }
  if (!session) throw new Error('internal: the session is not open');
  switch (request.kind) {
    case 'setState':
      return session.setState(request.tensors);
    case 'getState':
      return session.getState();
    case 'arena':
      return session.arena();
    case 'run':
      return session.run(request);
    case 'close':
      if (isProfiled) session.endProfiling();
      return session.close();
  }
}

// One request after the other: the main thread may send the next before the last is answered.
let pending = Promise.resolve();
parentPort?.on('message', (request: Request & { id: number }) => {
  pending = pending.then(async () => {
    let reply: Reply;
    try {
      reply = { id: request.id, value: await handle(request) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      reply = { id: request.id, error: message, isRequest: error instanceof RequestError };
    }
    parentPort?.postMessage(reply);
    if (request.kind === 'close') parentPort?.close();
  });
});
