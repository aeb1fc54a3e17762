/**
 * @file node dist/bench/gpu-kernels.js: each CUDA kernel of ours on a card, beside its reference kernel on the host, and timed.
 *
 * A JSON line a row, as it goes; exit code 1 where a kernel departs from its reference by more than it may.
 */

import { elementCount } from '../src/ir/index.js';
import { type Attributes, ownOperators } from '../src/operators/index.js';
import { Driver } from '../src/runtime/session/cuda/driver.js';
import { openDeviceLibrary } from '../src/runtime/session/cuda/index.js';
import { installedLibraries } from '../src/runtime/session/cuda/libraries.js';
import type { DeviceTensor } from '../src/runtime/session/ort/own-operators.js';

type Shapes = readonly (readonly number[])[];

interface Trial {
  readonly operator: string;
  readonly inputs: Shapes;
  readonly attributes: Attributes;
}

/** How far a result may be from the reference, over its largest value: float32, sums in another order. */
const allowed = 2e-5;
const timedRuns = 20;

const convolution = { strides: [1, 1], group: 1 };

/** Trials for images of N samples with parts of some channels. */
function trials(n: number, side: number, wide: number): readonly Trial[] {
  const parts = [24, 12, 12, 12, 12];
  const channels = parts.reduce((sum, width) => sum + width, 0);
  const image = (width: number, extent = side): readonly number[] => [n, width, extent, extent];
  const vector = (width: number): readonly number[] => [width];
  const three = { ...convolution, pads: [1, 1, 1, 1] };
  const one = { ...convolution, pads: [0, 0, 0, 0] };
  const pooling = { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0] };
  const half = Math.floor(side / 2);
  return [
    { operator: 'BatchStatistics', inputs: [image(wide)], attributes: {} },
    { operator: 'BatchStatistics', inputs: [image(12)], attributes: {} },
    { operator: 'Normalizer', inputs: [vector(channels), vector(channels)], attributes: { epsilon: 1e-5 } },
    {
      operator: 'AffineRelu',
      inputs: [...Array<readonly number[]>(3).fill(vector(channels)), ...parts.map((width) => image(width))],
      attributes: { relu: 1 },
    },
    {
      operator: 'AffineReluGrad',
      inputs: [
        image(channels),
        ...Array<readonly number[]>(3).fill(vector(channels)),
        ...parts.flatMap((width) => [image(width), image(width)]),
      ],
      attributes: { relu: 1, accumulates: [1, 1, 0, 1, 1] },
    },
    {
      operator: 'CenterGrad',
      inputs: [image(wide), image(wide), vector(wide), vector(wide)],
      attributes: { epsilon: 1e-5 },
    },
    { operator: 'ReluGrad', inputs: [image(wide), image(wide)], attributes: {} },
    { operator: 'Concat', inputs: parts.map((width) => image(width)), attributes: { axis: 1 } },
    { operator: 'Concat', inputs: parts.map(vector), attributes: { axis: 0 } },
    { operator: 'Split', inputs: [image(channels)], attributes: { axis: 1, sizes: parts } },
    { operator: 'Split', inputs: [vector(channels)], attributes: { axis: 0, sizes: parts } },
    {
      operator: 'AveragePoolGrad',
      inputs: [image(wide, half)],
      attributes: { ...pooling, count_include_pad: 1, input_extents: [side, side] },
    },
    { operator: 'MaxPoolGrad', inputs: [image(wide, half), image(wide)], attributes: pooling },
    {
      operator: 'ConvInputGrad',
      inputs: [image(12), [12, wide, 3, 3]],
      attributes: { ...three, input_extents: [side, side] },
    },
    { operator: 'ConvWeightGrad', inputs: [image(wide), image(12)], attributes: { ...three, kernel_shape: [3, 3] } },
    {
      operator: 'ConvInputGrad',
      inputs: [image(wide), [wide, channels, 1, 1]],
      attributes: { ...one, input_extents: [side, side] },
    },
    {
      operator: 'ConvWeightGrad',
      inputs: [image(channels), image(wide)],
      attributes: { ...one, kernel_shape: [1, 1] },
    },
  ];
}

const library = openDeviceLibrary({ tf32: false, workspaceBytes: 64e6 });
const driver = new Driver(installedLibraries, 0);
const stream = driver.createStream();
let wrong = 0;

for (const [n, side] of [
  [3, 8],
  [2, 7],
  [1, 16],
] as const)
  for (const trial of trials(n, side, 48)) report(trial, true);
if (!process.argv.includes('--quick')) {
  for (const [n, side] of [
    [64, 32],
    [64, 16],
    [64, 8],
    [32, 56],
  ] as const) {
    for (const trial of trials(n, side, 48)) report(trial, false);
  }
}
process.exitCode = wrong > 0 ? 1 : 0;

/** Runs a trial, compares it or times it, and prints what came out. */
function report(trial: Trial, compares: boolean): void {
  const shapes = trial.inputs
    .map((shape) => `[${shape.join(',')}]`)
    .slice(0, 2)
    .join(' ');
  const row: Record<string, unknown> = { operator: trial.operator, shapes };
  try {
    Object.assign(row, compares ? { departure: compare(trial) } : time(trial));
    if (compares && !((row.departure as number) <= allowed)) {
      row.wrong = true;
      wrong++;
    }
  } catch (error) {
    row.failed = (error as Error).message;
    wrong++;
  }
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

/** Numbers of a row of pseudo-random ones; those of variances must be positive. */
function noise(count: number, seed: number, positive: boolean): Float32Array {
  let state = seed * 2_654_435_761 + 12_345;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const value = state / 2 ** 31 - 1;
    return positive ? Math.abs(value) + 0.5 : value;
  });
}

function prepared({ operator, inputs, attributes }: Trial, filled: boolean) {
  const row = ownOperators[operator];
  if (!row) throw new Error(`there is no operator ${operator}`);
  const data = filled ? inputs.map((shape, index) => noise(elementCount(shape), index + 1, shape.length === 1)) : [];
  const upload = (shape: readonly number[], values?: Float32Array): DeviceTensor => {
    const address = driver.allocate(Math.max(16, 4 * elementCount(shape)), 'a trial');
    if (values) driver.upload(address, values);
    return { shape, address };
  };
  const shapes = row.shapes(inputs, attributes);
  const given = inputs.map((shape, index) => upload(shape, data[index]));
  const made = shapes.map((shape) => upload(shape));
  const kernel = library.create(operator, attributes);
  return {
    row,
    data,
    shapes,
    made,
    launch: () => kernel.launch(given, made, stream),
    free: () => {
      for (const { address } of [...given, ...made]) driver.free(address);
    },
  };
}

function compare(trial: Trial): number {
  const { row, data, shapes, made, launch, free } = prepared(trial, true);
  // Twice: counters and shared memory must be as they were before.
  launch();
  launch();
  driver.synchronize(stream);
  const expected = shapes.map((shape) => ({ shape, data: new Float32Array(elementCount(shape)) }));
  row.reference(
    data.map((values, index) => ({ shape: trial.inputs[index] as readonly number[], data: values })),
    expected,
    trial.attributes,
  );
  let worst = 0;
  for (const [index, { data: reference }] of expected.entries()) {
    const found = new Float32Array(reference.length);
    driver.download(found, (made[index] as DeviceTensor).address);
    const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [at, value] of reference.entries()) {
      const departure = Math.abs((found[at] as number) - value) / (largest || 1);
      if (!(departure <= worst)) worst = departure;
    }
  }
  free();
  return worst;
}

function time(trial: Trial): Record<string, number> {
  const { shapes, launch, free } = prepared(trial, false);
  for (let warmUp = 0; warmUp < 3; warmUp++) launch();
  const ms = driver.time(stream, () => {
    for (let run = 0; run < timedRuns; run++) launch();
  });
  free();
  const bytes = [...trial.inputs, ...shapes].reduce((sum, shape) => sum + 4 * elementCount(shape), 0);
  const microseconds = (1000 * ms) / timedRuns;
  return { us: Number(microseconds.toFixed(1)), gigabytesPerSecond: Math.round(bytes / microseconds / 1000) };
}
