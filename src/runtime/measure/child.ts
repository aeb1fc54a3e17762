/** @file The measuring process: takes one request from its parent, answers it and ends. */

import { measureCeilings } from './ceilings.js';
import { measureSteps } from './measure-steps.js';
import type { ChildReply, ChildRequest } from './protocol.js';

process.once('message', async (request: ChildRequest) => {
  let reply: ChildReply;
  try {
    reply = { value: request.kind === 'steps' ? await measureSteps(request) : await measureCeilings(request) };
  } catch (error) {
    reply = { error: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(reply, () => process.disconnect());
});
