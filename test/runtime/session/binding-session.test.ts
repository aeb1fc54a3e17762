/** @file Sessions at the C API and by Node's binding: the same results, state in place, wrong use refused. */

import { afterEach, describe, expect, it } from 'vitest';
import {
  FailureError,
  floatTensor,
  GraphBuilder,
  InternalError,
  RequestError,
  type Value,
} from '../../../src/ir/index.js';
import { encodeGraph } from '../../../src/onnx/index.js';
import { cpu } from '../../../src/runtime/session/devices.js';
import type { ModelSession } from '../../../src/runtime/session/model-session.js';
import { openSession } from '../../../src/runtime/session/open-session.js';

const elements = 1 << 20;
const initializer = { kind: 'constant', value: 0 } as const;

/** Counts a large vector up by one. */
function counting(): Uint8Array {
  const builder = new GraphBuilder('counting');
  const state = builder.input({ dtype: 'float32', shape: [elements] }, { name: 'w', role: 'parameter', initializer });
  const value = builder.emit('add', [state, builder.scalar(1)], {});
  return encodeGraph(builder.finish([{ name: 'next.w', role: 'next', of: 'w', value }]));
}

/** Two states that feed each other: neither may be written before the other has been read. */
function exchanging(): Uint8Array {
  const builder = new GraphBuilder('exchanging');
  const [a, b] = ['a', 'b'].map((name) =>
    builder.input({ dtype: 'float32', shape: [4] }, { name, role: 'parameter', initializer }),
  ) as [Value, Value];
  const x = builder.input({ dtype: 'float32', shape: ['N', 4] }, { name: 'x', role: 'batch' });
  const sum = builder.emit('reduceSum', [x], { axes: [0], keepDims: false });
  const first = builder.emit('add', [b, sum], {});
  const second = builder.emit('mul', [a, builder.scalar(2)], {});
  const loss = builder.emit('reduceSum', [builder.emit('mul', [first, second], {})], { axes: [0], keepDims: false });
  return encodeGraph(
    builder.finish([
      { name: 'loss', role: 'result', value: loss },
      { name: 'next.a', role: 'next', of: 'a', value: first },
      { name: 'next.b', role: 'next', of: 'b', value: second },
    ]),
  );
}

const request = { device: cpu, threads: 1, optimization: 'disabled', memoryPattern: false } as const;

afterEach(() => {
  delete process.env.DENSEC_RUNTIME;
});

function opened(runtime: string, model: Uint8Array): Promise<ModelSession> {
  process.env.DENSEC_RUNTIME = runtime;
  return openSession({ ...request, model });
}

const x = (rows: number, value: number) =>
  [['x', floatTensor([rows, 4], new Float32Array(4 * rows).fill(value))] as const] as const;

const exchange = [
  { output: 'next.a', input: 'a' },
  { output: 'next.b', input: 'b' },
];

/** The loss of a run that exchanges the states. */
async function lossOf(session: ModelSession, feeds: ReturnType<typeof x>): Promise<number> {
  const outputs = new Map(await session.run({ feeds, results: ['loss'], updates: exchange }));
  return Number(outputs.get('loss')?.data[0]);
}

describe.each(['c', 'binding'])('a session by %s', (runtime) => {
  it('counts up, and does not pile up memory', async () => {
    const session = await opened(runtime, counting());
    try {
      session.setState([['w', floatTensor([elements], new Float32Array(elements))]]);
      const before = process.memoryUsage().arrayBuffers;
      for (let step = 0; step < 6; step++) {
        await session.run({ feeds: [], results: [], updates: [{ output: 'next.w', input: 'w' }] });
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * elements);
      }
      expect(session.getState()[0]?.[1].data[elements - 1]).toBe(6);
      expect(session.facts.api).toBe(runtime);
    } finally {
      await session.close();
    }
  });

  it('never lets a state be written before it was read, at any batch size', async () => {
    const session = await opened(runtime, exchanging());
    try {
      session.setState([
        ['a', floatTensor([4], [1, 2, 3, 4])],
        ['b', floatTensor([4], [5, 6, 7, 8])],
      ]);
      let [a, b] = [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
      ];
      for (const rows of [2, 2, 1, 3, 2, 1, 5, 4, 2]) {
        const loss = await lossOf(session, x(rows, 0.5));
        const [next, other] = [b.map((value) => value + rows / 2), a.map((value) => 2 * value)];
        expect(loss).toBeCloseTo(
          next.reduce((sum, value, index) => sum + value * (other[index] as number), 0),
          3,
        );
        [a, b] = [next, other];
      }
      const state = new Map(session.getState());
      expect([...(state.get('a')?.data ?? [])]).toEqual(a);
      expect([...(state.get('b')?.data ?? [])]).toEqual(b);
    } finally {
      await session.close();
    }
  });
});

describe('a session at the C API', () => {
  it('asks its arena', async () => {
    const session = await opened('c', counting());
    try {
      session.setState([['w', floatTensor([elements], new Float32Array(elements))]]);
      await session.run({ feeds: [], results: [], updates: [{ output: 'next.w', input: 'w' }] });
      // Inputs and outputs are bound to memory of ours.
      expect(session.arena()?.peakBytes).toBeLessThan(elements);
    } finally {
      await session.close();
    }
  });

  it('refuses what does not fit its model, and is none the worse for it', async () => {
    const session = await opened('c', exchanging());
    const state = (['a', 'b'] as const).map((name) => [name, floatTensor([4], [1, 2, 3, 4])] as const);
    session.setState(state);
    const wrong: readonly [string, () => Promise<unknown> | undefined][] = [
      [
        'a name',
        () => session.run({ feeds: [['y', floatTensor([1, 4], new Float32Array(4))]], results: [], updates: [] }),
      ],
      [
        'a shape',
        () => session.run({ feeds: [['x', floatTensor([1, 5], new Float32Array(5))]], results: [], updates: [] }),
      ],
      [
        'too few elements',
        () =>
          session.run({
            feeds: [['x', { dtype: 'float32', shape: [2, 4], data: new Float32Array(4) }]],
            results: [],
            updates: [],
          }),
      ],
      [
        'an element type',
        () =>
          session.run({
            feeds: [['x', { dtype: 'int64', shape: [1, 4], data: new BigInt64Array(4) }]],
            results: [],
            updates: [],
          }),
      ],
      ['an output', () => session.run({ feeds: x(1, 1), results: ['nothing'], updates: [] })],
      ['a state', () => session.run({ feeds: x(1, 1), results: [], updates: [{ output: 'next.a', input: 'c' }] })],
      [
        'state of another length',
        () => {
          session.setState([['a', floatTensor([5], new Float32Array(5))]]);
          return undefined;
        },
      ],
    ];
    for (const [what, use] of wrong) {
      await expect(async () => use(), what).rejects.toThrow(InternalError);
    }
    expect(await lossOf(session, x(1, 1))).toBe(2 * 2 + 3 * 4 + 4 * 6 + 5 * 8);
    await session.close();
    await session.close();
    await expect(session.run({ feeds: x(1, 1), results: [], updates: [] })).rejects.toThrow('is closed');
  });

  it('stays small over thousands of runs', async () => {
    const session = await opened('c', exchanging());
    try {
      session.setState([
        ['a', floatTensor([4], [0, 0, 0, 0])],
        ['b', floatTensor([4], [0, 0, 0, 0])],
      ]);
      const many = process.env.DENSEC_LONG ? 20_000 : 2000;
      const run = () =>
        session.run({ feeds: x(1 + (Math.random() > 0.5 ? 1 : 0), 0), results: ['loss'], updates: exchange });
      for (let step = 0; step < 500; step++) await run();
      const before = process.memoryUsage().rss;
      for (let step = 0; step < many; step++) await run();
      expect(process.memoryUsage().rss - before).toBeLessThan(40e6);
    } finally {
      await session.close();
    }
  });
});

/** A state that is updated, and a reshape to extents that are told when the model runs. */
function failing(): Uint8Array {
  const builder = new GraphBuilder('failing');
  const w = builder.input({ dtype: 'float32', shape: [4] }, { name: 'w', role: 'parameter', initializer });
  const batch = builder.input({ dtype: 'float32', shape: ['N', 4] }, { name: 'x', role: 'batch' });
  const extents = builder.input({ dtype: 'int64', shape: [2] }, { name: 'extents', role: 'batch' });
  const shaped = builder.emit('reshape', [batch, extents], { shape: ['N', 4] });
  return encodeGraph(
    builder.finish([
      { name: 'sum', role: 'result', value: builder.emit('reduceSum', [shaped], { axes: [0, 1], keepDims: false }) },
      { name: 'next.w', role: 'next', of: 'w', value: builder.emit('add', [w, builder.scalar(1)], {}) },
    ]),
  );
}

describe('a step that fails half-way', () => {
  const feeds = (rows: number) => [
    ...x(1, 2),
    ['extents', { dtype: 'int64', shape: [2], data: BigInt64Array.of(BigInt(rows), 4n) }] as const,
  ];
  const updates = [{ output: 'next.w', input: 'w' }];

  it('leaves a state that is refused until another is set', async () => {
    const session = await opened('c', failing());
    const state = [['w', floatTensor([4], [1, 2, 3, 4])]] as const;
    try {
      session.setState(state);
      const run = (rows: number, changes = updates) =>
        session.run({ feeds: feeds(rows), results: ['sum'], updates: changes });
      await run(1);
      await expect(run(3)).rejects.toThrow(/cannot be reshaped.*the state is lost, since the step failed half-way/s);
      for (let again = 0; again < 2; again++) {
        await expect(run(1)).rejects.toThrow(
          /^the state is lost, since an earlier step failed half-way .*last checkpoint$/s,
        );
      }
      session.setState([['w', floatTensor([4], [5, 6, 7, 8])]]);
      // Nothing is written where nothing is updated, so such a failure loses nothing.
      await expect(run(3, [])).rejects.toThrow(FailureError);
      const [sum] = await run(1);
      expect([sum?.[1].data[0], ...(session.getState()[0]?.[1].data ?? [])]).toEqual([8, 6, 7, 8, 9]);
    } finally {
      await session.close();
    }
  });
});

describe('the choice of the runtime', () => {
  it("refuses by Node's binding what that can't be told", async () => {
    process.env.DENSEC_RUNTIME = 'binding';
    const cuda = { target: 'cuda', index: 0 } as const;
    await expect(openSession({ ...request, model: counting(), device: cuda, tf32: false })).rejects.toThrow(
      new RequestError(
        "products on CUDA can't be kept in float32 (--no-tf32) by Node's binding, which is used here: DENSEC_RUNTIME asks for it; leave the option out, or run at the runtime's C API (DENSEC_RUNTIME=c)",
      ),
    );
  });

  it('refuses another word', async () => {
    await expect(opened('python', counting())).rejects.toThrow(
      new RequestError('DENSEC_RUNTIME is python; it may be c or binding'),
    );
  });
});
