/** @file A thread that prepares batches, one job after the other, until told to close. */

import { parentPort, workerData } from 'node:worker_threads';
import { answerJob, type JobReply, type JobRequest, type WorkerData } from './jobs.js';

let pending = Promise.resolve();
parentPort?.on('message', (request: JobRequest) => {
  pending = pending.then(async () => {
    if (request === 'close') return parentPort?.close();
    const reply = await answerJob(workerData as WorkerData, request.id, request.job);
    parentPort?.postMessage(reply, buffersOf(reply));
  });
});

/** Buffers that change their owner instead of being copied. */
function buffersOf(reply: JobReply): ArrayBuffer[] {
  if (!('result' in reply) || !('images' in reply.result)) return [];
  const { images, labels, targets } = reply.result;
  const tensors = [images, labels, ...(targets ? [targets] : [])];
  return tensors.map(({ data }) => data.buffer as ArrayBuffer);
}
