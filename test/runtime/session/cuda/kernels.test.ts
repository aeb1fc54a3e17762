/**
 * @file The device kernels' own text, run on an emulated card, against the reference kernels: every operator over many
 * shapes, with memory that is and isn't aligned, apart and in place. Needs g++.
 */

import { describe, expect, test } from 'vitest';
import { type Attributes, type HostTensor, ownOperators } from '../../../../src/operators/index.js';
import { openDeviceLibrary } from '../../../../src/runtime/session/cuda/index.js';
import { memoryOf } from '../../../../src/runtime/session/ort/memory.js';
import { randomSource } from '../../../helpers/random.js';
import { compute, hostTensor, randomTensor, relativeError } from '../../../operators/tensors.js';
import { buildEmulator, Card, noEmulator } from './emulator.js';

if (noEmulator) console.warn(`left out: device kernels on an emulated card (${noEmulator})`);

interface Case {
  readonly name: string;
  readonly operator: string;
  readonly inputs: readonly HostTensor[];
  readonly attributes: Attributes;
  /** Largest error relative to the largest value of an output. */
  readonly tolerance: number;
}

/** Operators with kernels on a card: processes meet on the host. */
const onDevices = Object.keys(ownOperators).filter((name) => name !== 'AllReduce');

const images = [
  [3, 5, 8, 8],
  [2, 3, 7, 7],
  [1, 1, 1, 1],
  [1, 4, 32, 32],
  [5, 1, 4, 4],
  [2, 2, 3, 5],
  [70, 2, 2, 2],
  [300, 1, 1, 3],
  [9, 3, 16, 16],
] as const;

const channelCounts: readonly (readonly number[])[] = [
  [3],
  [1, 2, 5],
  [12, 24],
  // More parts than one launch takes.
  Array.from({ length: 70 }, (_, part) => 1 + (part % 2)),
];

const random = randomSource('device kernels');
const vector = (channels: number, kind: 'normal' | 'positive' | 'away from zero' = 'away from zero'): HostTensor =>
  randomTensor([channels], random, kind);

function* cases(): Generator<Case> {
  for (const shape of images) {
    const [x, y] = [randomTensor(shape, random), randomTensor(shape, random)];
    const channels = shape[1];
    const at = `[${shape}]`;
    yield { name: at, operator: 'BatchStatistics', inputs: [x], attributes: {}, tolerance: 1e-6 };
    const statistics = compute('BatchStatistics', [x]);
    const epsilon = { epsilon: 1e-3 };
    yield { name: at, operator: 'CenterGrad', inputs: [y, x, ...statistics], attributes: epsilon, tolerance: 2e-6 };
    yield { name: at, operator: 'ReluGrad', inputs: [y, x], attributes: {}, tolerance: 0 };
    const variances = [vector(channels, 'positive'), vector(channels)];
    yield { name: at, operator: 'Normalizer', inputs: variances, attributes: epsilon, tolerance: 2e-7 };
  }
  const far = randomTensor([6, 3, 8, 8], random);
  for (const distance of [100, 3000]) {
    const moved = hostTensor(
      far.shape,
      far.data.map((value) => value + distance),
    );
    const name = `${distance} deviations from zero`;
    yield { name, operator: 'BatchStatistics', inputs: [moved], attributes: {}, tolerance: 1e-6 };
  }
  const rare = hostTensor(
    [4, 1, 32, 32],
    Float32Array.from({ length: 4096 }, (_, index) => (index % 1024 === 0 ? 40 : random() < 0.9 ? 0 : random())),
  );
  yield { name: 'rare large values', operator: 'BatchStatistics', inputs: [rare], attributes: {}, tolerance: 1e-6 };
  for (const counts of channelCounts) {
    for (const [samples, ...area] of [
      [3, 8, 8],
      [2, 7, 7],
      [1, 1, 1],
      [2, 32, 32],
    ] as const) {
      // Many parts and large planes are each slow enough on their own.
      if (counts.length > 10 && area[0] > 8) continue;
      const all = counts.reduce((sum, count) => sum + count, 0);
      const x = counts.map((count) => randomTensor([samples, count, ...area], random));
      const sums = counts.map((count) => randomTensor([samples, count, ...area], random));
      const dz = randomTensor([samples, all, ...area], random);
      const vectors = [vector(all), vector(all), vector(all)];
      const name = `${counts.length} parts, [${samples}, ${all}, ${area}]`;
      for (const relu of [0, 1]) {
        yield { name, operator: 'AffineRelu', inputs: [...vectors, ...x], attributes: { relu }, tolerance: 1e-6 };
        for (const pattern of [[1], [0], [1, 0]]) {
          const accumulates = counts.map((_, part) => pattern[part % pattern.length] as number);
          const operands = x.flatMap((part, index) => [accumulates[index] ? (sums[index] as HostTensor) : part, part]);
          yield {
            name: `${name}, relu ${relu}, accumulates ${pattern}`,
            operator: 'AffineReluGrad',
            inputs: [dz, ...vectors, ...operands],
            attributes: { relu, accumulates },
            tolerance: 2e-6,
          };
        }
      }
      yield { name, operator: 'Concat', inputs: x, attributes: { axis: 1 }, tolerance: 0 };
      yield { name, operator: 'Split', inputs: [dz], attributes: { axis: 1, sizes: counts }, tolerance: 0 };
    }
  }
  const odd = [randomTensor([2, 3, 2], random), randomTensor([2, 3, 0], random), randomTensor([2, 3, 5], random)];
  yield { name: 'rank 3, an empty part', operator: 'Concat', inputs: odd, attributes: { axis: -1 }, tolerance: 0 };
  const flat = Array.from({ length: 130 }, (_, part) => vector(1 + (part % 9)));
  yield { name: '130 vectors', operator: 'Concat', inputs: flat, attributes: { axis: 0 }, tolerance: 0 };
  const long = vector(50_000);
  const sizes = { axis: 0, sizes: [4, 49_000, 996] };
  yield { name: 'a long vector', operator: 'Split', inputs: [long], attributes: sizes, tolerance: 0 };

  for (const [kernel, strides, pads, x, y] of [
    [
      [2, 2],
      [2, 2],
      [0, 0, 0, 0],
      [3, 2, 8, 8],
      [4, 4],
    ],
    [
      [3, 3],
      [2, 2],
      [1, 1, 1, 1],
      [2, 3, 9, 8],
      [5, 4],
    ],
    [
      [7, 7],
      [1, 1],
      [0, 0, 0, 0],
      [2, 3, 7, 7],
      [1, 1],
    ],
    [
      [2, 3],
      [1, 3],
      [0, 1, 0, 1],
      [1, 1, 5, 7],
      [4, 3],
    ],
    [
      [2, 2],
      [4, 4],
      [0, 0, 0, 0],
      [1, 2, 7, 7],
      [2, 2],
    ],
  ] as const) {
    const dy = randomTensor([x[0], x[1], ...y], random);
    const name = `window ${kernel}, stride ${strides}`;
    const attributes = { kernel_shape: kernel, strides, pads };
    for (const count_include_pad of [0, 1]) {
      const more = { ...attributes, count_include_pad, input_extents: x.slice(2) };
      yield { name, operator: 'AveragePoolGrad', inputs: [dy], attributes: more, tolerance: 5e-7 };
    }
    const ties = hostTensor(
      x,
      Float32Array.from({ length: x.reduce<number>((product, n) => product * n, 1) }, () => Math.floor(3 * random())),
    );
    yield { name, operator: 'MaxPoolGrad', inputs: [dy, ties], attributes, tolerance: 5e-7 };
  }
  for (const [x, w, strides, pads, group, y] of [
    [[2, 6, 8, 8], [4, 6, 3, 3], [1, 1], [1, 1, 1, 1], 1, [8, 8]],
    [[1, 3, 11, 9], [5, 3, 7, 7], [2, 2], [3, 3, 3, 3], 1, [6, 5]],
    [[2, 4, 5, 5], [4, 2, 3, 3], [1, 1], [1, 1, 1, 1], 2, [5, 5]],
    [[3, 5, 4, 4], [2, 5, 1, 1], [1, 1], [0, 0, 0, 0], 1, [4, 4]],
  ] as const) {
    const attributes = { strides, pads, group };
    const dy = randomTensor([x[0], w[0], ...y], random);
    const name = `[${x}] with [${w}]`;
    const input = { ...attributes, input_extents: x.slice(2) };
    yield {
      name,
      operator: 'ConvInputGrad',
      inputs: [dy, randomTensor(w, random)],
      attributes: input,
      tolerance: 2e-7,
    };
    const weight = { ...attributes, kernel_shape: w.slice(2) };
    yield {
      name,
      operator: 'ConvWeightGrad',
      inputs: [randomTensor(x, random), dy],
      attributes: weight,
      tolerance: 2e-7,
    };
  }
}

describe.skipIf(noEmulator)('on an emulated card', () => {
  const emulator = noEmulator ? undefined : buildEmulator();
  const card = emulator && new Card(emulator.libraries);
  const all = emulator ? [...cases()] : [];

  test('every operator has cases', () => {
    expect([...new Set(all.map(({ operator }) => operator))].sort()).toEqual([...onDevices].sort());
  });

  test.each(onDevices)('%s', (operator) => {
    for (const { name, inputs, attributes, tolerance } of all.filter((each) => each.operator === operator)) {
      const expected = compute(operator, inputs, attributes);
      const check = (how: string, outputs: readonly HostTensor[]): void => {
        for (const [index, { data }] of outputs.entries()) {
          const right = expected[index]?.data ?? [];
          // Sums may cancel; their rounding is that of a value of the order of 1.
          const isSum = (operator === 'AffineReluGrad' && index < 2) || (operator === 'BatchStatistics' && index === 0);
          const error = relativeError(data, right, isSum ? 1 : 1e-3);
          expect(error, `${operator} ${name}, output ${index}, ${how}`).toBeLessThanOrEqual(tolerance);
        }
      };
      const outputs = card?.run(operator, inputs, attributes) ?? [];
      check('aligned', outputs);
      check('not aligned', card?.run(operator, inputs, attributes, { shift: 1 }) ?? []);
      check('in place', card?.run(operator, inputs, attributes, { inPlace: true }) ?? []);
      expect(card?.run(operator, inputs, attributes), `${operator} ${name}, again`).toEqual(outputs);
    }
  });
});

describe.skipIf(noEmulator)('the library', () => {
  const emulator = noEmulator ? undefined : buildEmulator();
  const attributes = { strides: [1, 1], pads: [1, 1, 1, 1], group: 1, input_extents: [4, 4] };
  const inputs = [randomTensor([2, 3, 4, 4], random), randomTensor([3, 2, 3, 3], random)];

  test('takes the fastest repeatable algorithm that fits, and tries each shape once', () => {
    if (!emulator) return;
    const card = new Card(emulator.libraries);
    const before = emulator.algorithms().runs;
    card.run('ConvInputGrad', inputs, attributes);
    const { runs, last } = emulator.algorithms();
    expect(last).toBe(2);
    expect(runs[0]).toBe(before[0]);
    expect(runs[1]).toBe((before[1] ?? 0) + 4);
    const trials = emulator.counts().waits;
    card.run('ConvInputGrad', inputs, attributes);
    expect(emulator.counts().waits).toBe(trials + 1);
    expect(emulator.algorithms().runs[2]).toBe((runs[2] ?? 0) + 1);
    card.library.close();
  });

  test('keeps to the bound of the workspace', () => {
    if (!emulator) return;
    const card = new Card(emulator.libraries, { tf32: false, workspaceBytes: 1500 });
    card.run('ConvInputGrad', inputs, attributes);
    expect(emulator.algorithms().last).toBe(1);
    card.library.close();
    // Only the algorithm that isn't repeatable works without a workspace.
    const none = new Card(emulator.libraries, { tf32: false, workspaceBytes: 0 });
    none.run('ConvInputGrad', inputs, attributes);
    expect(emulator.algorithms().last).toBe(0);
    none.library.close();
  });

  test('refuses what it does not know, and unequal padding that cuDNN has not', () => {
    if (!emulator) return;
    const card = new Card(emulator.libraries);
    expect(() => card.library.create('Nothing', {})).toThrow('there is no CUDA kernel for Nothing');
    const uneven = { ...attributes, pads: [0, 1, 1, 1], input_extents: [5, 4] };
    expect(() => card.run('ConvInputGrad', inputs, uneven)).toThrow('cuDNN pads an image alike on both sides');
    card.library.close();
  });

  test('is the memory that sessions bind, byte for byte', () => {
    if (!emulator) return;
    const memory = memoryOf({ target: 'cuda', index: 0 }, emulator.libraries);
    const { live } = emulator.counts();
    const block = memory.allocate(5);
    block.write(Uint8Array.of(1, 2, 3, 4, 5));
    expect([...block.read()]).toEqual([1, 2, 3, 4, 5]);
    block.free();
    expect(emulator.counts().live).toBe(live);
  });

  test('a missing library is named, with what to install', () => {
    if (!emulator) return;
    const missing = { linux: ['libnowhere.so.9'], windows: ['nowhere.dll'] };
    const options = { tf32: true, workspaceBytes: 0 };
    const open = (more: object) => () => openDeviceLibrary(options, { ...emulator.libraries, ...more });
    expect(open({ driver: missing })).toThrow(/libnowhere.*install the NVIDIA driver/s);
    expect(open({ cudnn: missing })).toThrow(/libnowhere.*pip install nvidia-cudnn-cu13.*LD_LIBRARY_PATH/s);
    expect(open({ nvrtc: missing })).toThrow(/libnowhere.*pip install nvidia-cuda-nvrtc/s);
    expect(() => openDeviceLibrary({ ...options, device: 3 }, emulator.libraries)).toThrow(
      'there is no CUDA device 3: the driver sees 1',
    );
  });
});
