/** @file Uses sessions at random, rightly and wrongly: right use must give right numbers, wrong use an error of ours. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  DensecError,
  floatTensor,
  GraphBuilder,
  InternalError,
  type TensorData,
  type Value,
} from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import { cpu } from '../../src/runtime/session/devices.js';
import type { ModelSession } from '../../src/runtime/session/model-session.js';
import { openSession } from '../../src/runtime/session/open-session.js';
import type { RunRequest } from '../../src/runtime/session/protocol.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const width = 4;
const initializer = { kind: 'constant', value: 0 } as const;

/** Two states that exchange their values, one of them doubled; labels that are counted. */
export function exchanging(): Uint8Array {
  const builder = new GraphBuilder('exchanging');
  const [a, b] = ['a', 'b'].map((name) =>
    builder.input({ dtype: 'float32', shape: [width] }, { name, role: 'parameter', initializer }),
  ) as [Value, Value];
  const x = builder.input({ dtype: 'float32', shape: ['N', width] }, { name: 'x', role: 'batch' });
  const labels = builder.input({ dtype: 'int64', shape: ['N'] }, { name: 'labels', role: 'batch' });
  const sum = builder.emit('reduceSum', [x], { axes: [0], keepDims: false });
  return encodeGraph(
    builder.finish([
      { name: 'sum', role: 'result', value: sum },
      { name: 'twice', role: 'result', value: builder.emit('add', [labels, labels], {}) },
      { name: 'next.a', role: 'next', of: 'a', value: builder.emit('add', [b, sum], {}) },
      { name: 'next.b', role: 'next', of: 'b', value: builder.emit('mul', [a, builder.scalar(2)], {}) },
    ]),
  );
}

const request = { device: cpu, threads: 1, optimization: 'disabled', memoryPattern: false } as const;
const updates: RunRequest['updates'] = [
  { output: 'next.a', input: 'a' },
  { output: 'next.b', input: 'b' },
];

type Run = Omit<RunRequest, 'kind'>;
type Feeds = RunRequest['feeds'];

function feeds(rows: number, value: number): Feeds {
  return [
    ['x', floatTensor([rows, width], new Float32Array(rows * width).fill(value))],
    ['labels', { dtype: 'int64', shape: [rows], data: new BigInt64Array(rows).fill(3n) }],
  ];
}

/** The first feed with something changed. */
const withX = (run: Run, change: (x: TensorData) => unknown): Run => ({
  ...run,
  feeds: run.feeds.map(([name, tensor]) => [name, name === 'x' ? (change(tensor) as TensorData) : tensor] as const),
});

function detached(tensor: TensorData): TensorData {
  const data = Float32Array.from(tensor.data as Float32Array);
  structuredClone(data.buffer, { transfer: [data.buffer] });
  return { ...tensor, data } as TensorData;
}

/** Runs that are wrong in one way each. */
const wrongRuns: readonly ((run: Run) => Run)[] = [
  (run) => ({ ...run, feeds: run.feeds.slice(1) }),
  (run) => ({ ...run, feeds: [] }),
  (run) => ({ ...run, feeds: [...run.feeds, ...run.feeds] }),
  (run) => ({ ...run, feeds: [...run.feeds, ['a', floatTensor([width], [1, 2, 3, 4])]] }),
  (run) => ({ ...run, feeds: [...run.feeds, ['nothing', floatTensor([1], [1])]] }),
  (run) => ({ ...run, feeds: run.feeds.map(([name, tensor]) => [`${name}\0`, tensor] as const) }),
  (run) => withX(run, (x) => ({ ...x, shape: [x.shape[0], width + 1] })),
  (run) => withX(run, (x) => ({ ...x, shape: [-1, -x.data.length] })),
  (run) => withX(run, (x) => ({ ...x, shape: [x.data.length] })),
  (run) => withX(run, (x) => ({ ...x, shape: [0.5, 2 * x.data.length] })),
  (run) => withX(run, (x) => ({ ...x, shape: [2 ** 53, width] })),
  (run) => withX(run, (x) => ({ ...x, shape: [Number.NaN, width] })),
  (run) => withX(run, (x) => ({ ...x, shape: undefined })),
  (run) => withX(run, (x) => ({ ...x, dtype: 'int64' })),
  (run) => withX(run, (x) => ({ ...x, dtype: 'float64' })),
  (run) => withX(run, (x) => ({ ...x, data: Float64Array.from(x.data as Float32Array) })),
  (run) => withX(run, (x) => ({ ...x, data: Array.from(x.data as Float32Array) })),
  (run) => withX(run, (x) => ({ ...x, data: (x.data as Float32Array).subarray(1) })),
  (run) => withX(run, (x) => ({ ...x, data: new Float32Array(x.data.length + 1) })),
  (run) => withX(run, detached),
  (run) => withX(run, (x) => floatTensor([(x.shape[0] ?? 0) + 1, width], new Float32Array(x.data.length + width))),
  (run) => ({ ...run, results: ['nothing'] }),
  (run) => ({ ...run, results: ['sum', 'sum'] }),
  (run) => ({ ...run, results: ['next.a'] }),
  (run) => ({ ...run, updates: [...updates, ...updates] }),
  (run) => ({ ...run, updates: [{ output: 'nothing', input: 'a' }] }),
  (run) => ({ ...run, updates: [{ output: 'next.a', input: 'x' }] }),
  (run) => ({ ...run, updates: [{ output: 'twice', input: 'a' }] }),
];

/** States that are wrong in one way each. */
const wrongStates: readonly (readonly [string, unknown])[] = [
  ['c', floatTensor([width], [1, 2, 3, 4])],
  ['a', floatTensor([width + 1], [1, 2, 3, 4, 5])],
  ['b', { dtype: 'int64', shape: [width], data: new BigInt64Array(width) }],
  ['b', { dtype: 'float32', shape: [width], data: new BigInt64Array(width) }],
  ['a', { dtype: 'float32', shape: [width], data: new Float32Array(width - 1) }],
  ['a', detached(floatTensor([width], [1, 2, 3, 4]))],
];

/** Requests to open that are wrong in one way each. */
const wrongModels = (model: Uint8Array): readonly object[] => [
  { model: model.subarray(0, model.length >> 1) },
  { model: new Uint8Array(0) },
  { model: Uint8Array.from(model, (byte, index) => (index % 7 === 3 ? byte ^ 0x55 : byte)) },
  { model: '/nowhere/model.onnx' },
  { model, threads: -1 },
  { model, threads: Number.NaN },
  { model, threads: 1e9 },
  { model, optimization: 'most' },
];

/** A session and what its states must be. */
interface Tracked {
  readonly session: ModelSession;
  a: number[];
  b: number[];
}

/**
 * Uses up to three sessions at once, `rounds` times.
 * @param random numbers from 0 to 1
 * @throws Error for a right use that gives wrong numbers, or a wrong one that isn't refused by an error of ours
 */
export async function fuzzSessions(rounds: number, random: () => number): Promise<void> {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const model = exchanging();
  const open: Tracked[] = [];
  for (let round = 0; round < rounds; round++) {
    if (open.length === 0 || (open.length < 3 && random() < 0.05)) open.push(await opened(model));
    const tracked = pick(open);
    const { session } = tracked;
    const rows = 1 + Math.floor(random() * 6);
    const right: Run = { feeds: feeds(rows, round % 5), results: ['twice', 'sum'], updates };
    const choice = random();
    if (choice < 0.4) await stepRightly(tracked, right, rows, round % 5);
    else if (choice < 0.75) await refused(`run ${round}`, () => session.run(pick(wrongRuns)(right)));
    else if (choice < 0.85) {
      await refused(`state ${round}`, async () => session.setState([pick(wrongStates)] as [string, TensorData][]));
    } else if (choice < 0.9) setRightly(tracked, round);
    else if (choice < 0.93) session.arena();
    else if (choice < 0.95) session.endProfiling();
    else if (choice < 0.97) collectGarbage();
    else if (choice < 0.98) {
      await refused(`open ${round}`, () => openSession({ ...request, model, ...pick(wrongModels(model)) }));
    } else {
      open.splice(open.indexOf(tracked), 1);
      await closeAndUse(session, right);
    }
    if (open.includes(tracked)) checkState(tracked);
  }
  for (const { session } of open) await session.close();
}

async function opened(model: Uint8Array): Promise<Tracked> {
  const session = await openSession({ ...request, model });
  const tracked = { session, a: [1, 2, 3, 4], b: [5, 6, 7, 8] };
  session.setState([
    ['a', floatTensor([width], tracked.a)],
    ['b', floatTensor([width], tracked.b)],
  ]);
  return tracked;
}

async function stepRightly(tracked: Tracked, run: Run, rows: number, value: number): Promise<void> {
  const outputs = new Map(await tracked.session.run(run));
  expectEqual('sum', outputs.get('sum'), new Array(width).fill(rows * value));
  expectEqual('twice', outputs.get('twice'), new Array(rows).fill(6));
  const { a, b } = tracked;
  // Kept small, so that float32 has every number exactly.
  tracked.a = b.map((each) => each + rows * value);
  tracked.b = a.map((each) => 2 * each);
  if (Math.max(...tracked.a, ...tracked.b) > 1e6) setRightly(tracked, rows);
}

function setRightly(tracked: Tracked, value: number): void {
  tracked.a = [value, 1, 2, 3];
  tracked.session.setState([['a', floatTensor([width], tracked.a)]]);
  tracked.b = [0, 0, 1, value % 7];
  tracked.session.setState([['b', floatTensor([width], tracked.b)]]);
}

function checkState({ session, a, b }: Tracked): void {
  const state = new Map(session.getState());
  expectEqual('a', state.get('a'), a);
  expectEqual('b', state.get('b'), b);
}

async function closeAndUse(session: ModelSession, run: Run): Promise<void> {
  await session.close();
  await session.close();
  await refused('run when closed', () => session.run(run));
  await refused('state when closed', async () => session.getState());
  await refused('arena when closed', async () => session.arena());
  await refused('profile when closed', async () => session.endProfiling());
}

function expectEqual(name: string, tensor: TensorData | undefined, expected: readonly number[]): void {
  const found = Array.from(tensor?.data ?? [], Number);
  if (found.join() !== expected.join()) throw new Error(`${name} is ${found}, not ${expected}`);
}

async function refused(what: string, use: () => Promise<unknown>): Promise<void> {
  try {
    await use();
  } catch (error) {
    if (error instanceof DensecError || error instanceof InternalError) return;
    throw new Error(`${what}: no error of ours: ${error instanceof Error ? error.stack : error}`);
  }
  throw new Error(`${what} was not refused`);
}
