/**
 * @file One of several processes that an MPI launcher has started: meets the others as cards do, by the built project.
 *
 *     mpiexec -n 2 node nccl-process.mjs DIST sum|stop|mpi
 */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

const [dist, what] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(dist, path)).href);
const { joinProcesses, failTogether, deviceOf } = await load('cli/processes.js');

const flags = { device: 'cuda', timeout: what === 'stop' ? 3 : 30, ...(what === 'mpi' && { collective: 'mpi' }) };
const team = await joinProcesses(flags);
try {
  const { rank, collective } = team;
  console.log(`process ${rank} sums by ${collective} on card ${deviceOf('cuda', team).index}`);
  if (what !== 'mpi') console.log(await team.watched(() => summed(team.link, rank)));
  await team.finish();
} catch (error) {
  process.exitCode = await failTogether(team, error).catch(({ exitCode }) => exitCode);
}

/** In a thread of its own, as sessions are: a sum waits for ever for a process that has ended. */
function summed(link, rank) {
  const text = `
    import { workerData, parentPort } from 'node:worker_threads';
    const { dist, link, rank, stops } = workerData;
    const { Communicator } = await import(dist + '/src/runtime/session/cuda/nccl.js');
    const { koffi } = await import(dist + '/src/runtime/session/ort/native.js');
    const communicator = new Communicator(link);
    const count = 1000;
    const [from, to] = [0, 1].map(() => koffi().alloc('float', count));
    const [values, sums] = [from, to].map((pointer) => new Float32Array(koffi().view(pointer, 4 * count)));
    for (let i = 0; i < count; i++) values[i] = (rank + 1) * i;
    const address = (pointer) => BigInt(koffi().address(pointer));
    if (stops && rank === 1) process.kill(process.pid, 'SIGSTOP');
    for (let run = 0; run < 3; run++) communicator.sum(address(from), address(to), count, 42n);
    communicator.close();
    parentPort.postMessage(\`process \${rank} has \${sums[1]} and \${sums[999]}\`);
  `;
  const data = { dist: pathToFileURL(dist).href, link, rank, stops: what === 'stop' };
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(text)}`), { workerData: data });
  return new Promise((resolve, reject) => {
    worker.on('message', resolve);
    worker.on('error', reject);
  });
}
