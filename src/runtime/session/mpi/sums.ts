/** @file The kernel that sums a tensor over all processes of a run: it starts the sum and asks for it until it is there. */

import { FailureError } from '../../../ir/index.js';
import { allReduce, type OwnOperator } from '../../../operators/index.js';
import { openMpi } from './library.js';
import { Peers, type ProcessLink, waitedInVain } from './meeting.js';

/** Milliseconds of asking without a pause, in which most sums are there. */
const eagerMs = 2;

/** Between looks at the others, in ms. */
const lookEveryMs = 100;

/**
 * AllReduce among the processes of a run, in place of its reference. It never blocks in MPI, so a process that is gone ends
 * the run instead of holding it up.
 */
export function allReduceOf(link: ProcessLink): OwnOperator {
  const mpi = openMpi(link.library);
  const peers = new Peers(link);
  const request = new BigInt64Array(new ArrayBuffer(16));
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let [sums, waitedMs] = [0, 0];

  const wait = (began: number): void => {
    let nextLook = began + eagerMs;
    let isSlow = false;
    while (!mpi.test(request)) {
      const now = performance.now();
      if (now >= nextLook) {
        nextLook = now + lookEveryMs;
        peers.look(sums, 'sums', now - began);
        // Who waits leaves the core to those who compute; a transfer goes on only while it is asked after.
        isSlow = !peers.areHere(sums, 'sums');
      }
      if (isSlow) {
        Atomics.wait(pause, 0, 0, 0.05);
        if (peers.areHere(sums, 'sums')) isSlow = false;
      }
    }
  };

  return {
    ...allReduce,
    reference(inputs, outputs) {
      const [from, to] = [inputs[0]?.data, outputs[0]?.data];
      if (!from || !to) throw new FailureError('internal: an all-reduce without a tensor');
      const began = performance.now();
      sums++;
      peers.board.tellSession({ sums, waitedMs });
      mpi.startSum(from, to, request);
      try {
        wait(began);
      } catch (error) {
        throw new FailureError(`${waitedInVain}${(error as Error).message}`, { cause: error });
      }
      waitedMs += performance.now() - began;
      peers.board.tellSession({ sums, waitedMs });
    },
  };
}
