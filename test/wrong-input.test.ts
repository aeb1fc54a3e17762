/** @file What the library answers to wrong input: a RequestError that names the value, what would be right, and the remedy. */

import { describe, expect, it } from 'vitest';
import {
  add,
  arrayDataset,
  averagePool2d,
  batchNorm,
  type CompileOptions,
  compile,
  concat,
  conv2d,
  createBatch,
  crossEntropy,
  densenet,
  dropout,
  EvaluationModel,
  flatten,
  floatTensor,
  globalAveragePool,
  inferenceGraph,
  linear,
  loadDataset,
  makeBatch,
  type Network,
  openBundle,
  Predictor,
  planMemory,
  RequestError,
  relu,
  reshape,
  type Tensor,
  Trainer,
  TrainingModel,
  writeBundle,
  writeSafetensors,
} from '../src/index.js';
import { temporaryFolder } from './helpers/cli.js';

const path = temporaryFolder();

/** A value as the compiler would not let it through. */
function wrong<T>(value: unknown): T {
  return value as T;
}

function network(forward: (images: Tensor) => unknown, change: object = {}): Network {
  return { name: 'own', inputShape: [1, 4, 4], classes: 2, forward: wrong(forward), ...change };
}

const good = network((x) => linear(flatten(x), { name: 'out', features: 2 }));
const logits = (x: Tensor): Tensor => linear(flatten(x), { name: 'out', features: 2 });

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    return (error as Error).message;
  }
  return 'nothing was refused';
}

async function lateRefusal(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    return (error as Error).message;
  }
  return 'nothing was refused';
}

describe('compile', () => {
  it.each<[options: unknown, message: RegExp]>([
    [{ rematt: 'max' }, /no option rematt \(did you mean remat\?\); it takes target, kernels, /],
    [
      { remat: 'eficient' },
      /remat is 'eficient' \(did you mean efficient\?\); .*none, efficient or max, or a function/,
    ],
    [{ target: 'gpu' }, /target is 'gpu'; it must be cpu, cuda or webgpu/],
    [{ kernels: 'cuDNN' }, /kernels is 'cuDNN' \(did you mean cudnn\?\)/],
    [{ freeze: 'out' }, /freeze is 'out'; it must be a list, each entry text, or a function/],
    [{ seed: -1 }, /seed is -1; it must be a whole number from 0 to 4294967295/],
    [{ segmentBytes: 'large' }, /segmentBytes is 'large'; .* whole number/],
    [{ optimizer: 'adamw' }, /optimizer is 'adamw'; it must be an object/],
    [{ optimizer: { kind: 'adagrad' } }, /there is no optimizer adagrad; choose one of sgd/],
    [{ optimizer: { momentun: 0.5 } }, /optimizer sgd: there is no option momentun \(did you mean momentum\?\)/],
    [{ optimizer: { momentum: '0.5' } }, /the momentum is '0.5'; it must be at least 0/],
    [{ optimizer: { kind: 'adamw', betas: 0.9 } }, /betas is 0.9; it must be a list of two numbers/],
    ['max', /the options are 'max'; give an object with target/],
    [null, /the options are null/],
  ])('refuses options %j', (options, message) => {
    expect(refusal(() => compile(good, wrong<CompileOptions>(options)))).toMatch(message);
  });

  it('takes options that are undefined as left out', () => {
    expect(compile(good, wrong({ remat: undefined, seed: undefined, optimizer: undefined })).remat).toBe('none');
  });

  it.each<[what: string, network: unknown, message: RegExp]>([
    ['none', undefined, /the network is undefined; give an object with name, inputShape, classes, forward/],
    ['an async forward', network(async (x) => logits(x)), /returned a Promise.*without async and await/],
    [
      'an async forward that throws',
      network(async () => {
        throw new Error('nobody awaits this');
      }),
      /returned a Promise/,
    ],
    ['a forgotten return', network((x) => void logits(x)), /forward .* returned undefined.* is a return missing\?/],
    ['no tensor', network(() => 3), /forward .* returned 3, not a tensor; return the logits/],
    ['an async loss', network(logits, { loss: async () => undefined }), /loss .* returned a Promise/],
    ['one class', network(logits, { classes: 1 }), /classes is 1; it must be a whole number of at least 2/],
    ['no class count', network(logits, { classes: '2' }), /classes is '2'/],
    ['no name', network(logits, { name: '' }), /name is ''; it must be text that is not empty/],
    ['a shape that is none', network(logits, { inputShape: 16 }), /inputShape is 16; it must be a list/],
    ['an extent of 0', network(logits, { inputShape: [1, 0, 4] }), /inputShape is \[1, 0, 4\]/],
    ['no forward', network(logits, { forward: undefined }), /forward is missing; it must be a function/],
  ])('refuses a network with %s', (_, given, message) => {
    expect(refusal(() => compile(wrong<Network>(given)))).toMatch(message);
  });
});

describe('a layer', () => {
  const image = (x: Tensor): Tensor => conv2d(x, { name: 'conv', filters: 2, kernel: 3, padding: 1 });
  let former: Tensor | undefined;
  compile(
    network((x) => {
      former = x;
      return logits(x);
    }),
  );
  it.each<[what: string, use: (x: Tensor) => unknown, message: RegExp]>([
    [
      'an option that there isn’t',
      (x) => conv2d(x, wrong({ name: 'c', filters: 2, kernel: 3, dilation: 2 })),
      /^conv2d c: there is no option dilation; it takes name, filters, kernel/,
    ],
    [
      'a misspelled one',
      (x) => conv2d(x, wrong({ name: 'c', filters: 2, kernal: 3 })),
      /no option kernal \(did you mean kernel\?\)/,
    ],
    ['no options', (x) => conv2d(x, wrong(undefined)), /^conv2d: the options are undefined; give an object with name/],
    ['no name', (x) => conv2d(x, wrong({ filters: 2, kernel: 3 })), /^conv2d: name is missing/],
    [
      'text for a number',
      (x) => conv2d(x, wrong({ name: 'c', filters: '2', kernel: 3 })),
      /filters is '2'; it must be a number/,
    ],
    [
      'three extents',
      (x) => conv2d(x, wrong({ name: 'c', filters: 2, kernel: [3, 3, 3] })),
      /kernel is \[3, 3, 3\].*\[height, width\]/,
    ],
    [
      'a bias that is no flag',
      (x) => conv2d(x, wrong({ name: 'c', filters: 2, kernel: 3, bias: 1 })),
      /bias is 1; it must be true or false/,
    ],
    [
      'an unknown initializer',
      (x) => linear(flatten(x), wrong({ name: 'l', features: 2, initializer: { kind: 'zeros' } })),
      /initializer is an object; .*kind: 'normal'/,
    ],
    [
      'an option of another layer',
      (x) => batchNorm(x, wrong({ name: 'n', eps: 1e-3 })),
      /batchNorm n: there is no option eps/,
    ],
    ['a rate under another name', (x) => dropout(x, wrong({ name: 'd', p: 0.5 })), /dropout d: there is no option p/],
    ['a pool without a kernel', (x) => averagePool2d(x, wrong({ size: 2 })), /averagePool2d: there is no option size/],
    ['what is no tensor', () => relu(wrong([1, 2])), /relu: the input is \[1, 2\]; it must be a tensor/],
    ['a promise', (x) => relu(wrong(Promise.resolve(x))), /relu: the input is a Promise/],
    ['nothing to add', (x) => add(x, wrong(undefined)), /add: input 2 is undefined/],
    ['a tensor of another network', (x) => add(x, wrong(former)), /add: input 2 is of another network/],
    [
      'two tensors as arguments',
      (x) => wrong<(a: Tensor, b: Tensor) => Tensor>(concat)(x, x),
      /concat: the tensors are a Tensor; give a list/,
    ],
    [
      'a negative axis of concat',
      (x) => concat([x, x], -1),
      /the axis is -1 for tensors of \[N, 1, 4, 4\]; it must be from 1 to 3/,
    ],
    ['the batch axis of concat', (x) => concat([x, x], 0), /the axis is 0 /],
    [
      'a negative axis of dim',
      (x) => x.dim(-1),
      /no axis -1 of \[N, 1, 4, 4\]; count axes from the front, 0 to 3 \(3 is meant\?\)/,
    ],
    ['the batch axis of dim', (x) => x.dim(0), /axis 0 of \[N, 1, 4, 4\] is N, known only when the graph runs/],
    [
      'a linear layer on a symbolic axis',
      (x) => linear(reshape(x, [16, 'N']), { name: 'l', features: 2 }),
      /layer l: .*\[16, N\], whose axis 1 is known only when the graph runs; reshape it to \[N, F\]/,
    ],
    [
      'a linear layer on an image',
      (x) => linear(image(x), { name: 'l', features: 2 }),
      /\[N, 2, 4, 4\], not \(N, F\); flatten or pool it first/,
    ],
    ['-1 in a shape', (x) => reshape(x, ['N', -1]), /the shape is \['N', -1\]; .*flatten/],
    ['another symbol in a shape', (x) => reshape(x, ['B', 16]), /'N' for the batch size/],
    [
      'labels of cross-entropy that are none',
      (x) => crossEntropy(globalAveragePool(x), wrong(3)),
      /crossEntropy: input 2 is 3/,
    ],
  ])('refuses %s', (_, use, message) => {
    expect(
      refusal(() =>
        compile(
          network((x) => {
            use(x);
            return logits(x);
          }),
        ),
      ),
    ).toMatch(message);
  });
});

describe('densenet', () => {
  it.each<[options: unknown, message: RegExp]>([
    [{ growthrate: 12 }, /densenet: there is no option growthrate \(did you mean growthRate\?\)/],
    [
      { arch: 'densenet122' },
      /the architecture is 'densenet122' \(did you mean densenet121\?\); it must be densenet121, /,
    ],
    [{ arch: 'constructor' }, /the architecture is 'constructor'; it must be/],
    [{ classes: 0 }, /the number of classes is 0; it must be a whole number, at least 1/],
    [{ blockConfig: 3 }, /the block configuration is 3; it must be a list/],
    [{ depth: '40' }, /depth is '40'; it must be a number/],
    [{ smallInputs: 'yes' }, /the small inputs is 'yes'; it must be true or false/],
  ])('refuses %j', (options, message) => {
    expect(refusal(() => densenet(wrong(options)))).toMatch(message);
  });

  it('takes options that are undefined as left out', () => {
    expect(densenet(wrong({ depth: 10, growthRate: undefined })).config.growthRate).toBe(12);
  });
});

describe('Trainer', () => {
  const all = { images: new Uint8Array(16 * 4).fill(7), labels: [0, 1, 0, 1] };
  const dataset = arrayDataset({ name: 'own', channels: 1, imageSize: 4, train: all, test: all });
  const trainer = new Trainer(good, { save: path('run') });

  it.each<[options: unknown, message: RegExp]>([
    [undefined, /Trainer: the options are undefined/],
    [{}, /Trainer: save is missing/],
    [{ save: 'run', rematt: 'max' }, /Trainer: there is no option rematt \(did you mean remat\?\)/],
    [{ save: 'run', remat: 'all' }, /Trainer: remat is 'all'/],
    [{ save: 'run', device: 'cuda' }, /device is 'cuda'; it must be a device, as in \{ target: 'cpu', index: 0 \}/],
    [{ save: 'run', threads: 0 }, /threads is 0; it must be a whole number of at least 1/],
  ])('refuses options %j', (options, message) => {
    expect(refusal(() => new Trainer(good, wrong(options)))).toMatch(message);
  });

  it.each<[options: unknown, message: RegExp]>([
    [undefined, /train: the options are undefined/],
    [{}, /train: epochs is missing/],
    [{ epochs: 1, batchsize: 4 }, /no option batchsize \(did you mean batchSize\?\)/],
    [{ epochs: 1, lr: 0.1 }, /no option lr; it takes epochs, learningRate, schedule/],
    [{ epochs: 1, schedule: 'cosin' }, /schedule is 'cosin' \(did you mean cosine\?\)/],
    [{ epochs: 1.5 }, /epochs is 1.5; it must be a whole number/],
    [{ epochs: 1, learningRate: Number.NaN }, /the learning rate is NaN/],
    [{ epochs: 1, augment: 'yes' }, /augment is 'yes'/],
  ])('refuses to train with %j', async (options, message) => {
    expect(await lateRefusal(() => trainer.train(dataset, wrong(options)).next())).toMatch(message);
  });

  it.each<[data: unknown, message: RegExp]>([
    [undefined, /the data is undefined; give a data set/],
    [Promise.resolve(dataset), /the data is a Promise; .*loadDataset, which is awaited/],
    ['mnist', /the data is 'mnist'/],
    [{ name: 'own', counts: { training: 4 }, batches: () => [] }, /the count of validation images is undefined/],
    [{ name: 'own', batches: () => [] }, /counts is missing/],
  ])('refuses the data %j', async (data, message) => {
    expect(await lateRefusal(() => trainer.train(wrong(data), { epochs: 1 }).next())).toMatch(message);
  });

  it('refuses to evaluate what is no data', async () => {
    expect(await lateRefusal(() => trainer.evaluate(dataset, wrong({ batchsize: 4 })))).toMatch(/no option batchsize/);
  });
});

describe('data', () => {
  const labels = [0, 1];
  const arrays = (change: object, train: object = {}): (() => unknown) => {
    const all = { images: new Uint8Array(32), labels };
    return () =>
      arrayDataset(
        wrong({ name: 'own', channels: 1, imageSize: 4, train: { ...all, ...train }, test: all, ...change }),
      );
  };
  it.each<[what: string, make: () => unknown, message: RegExp]>([
    [
      'floats given as bytes',
      arrays({}, { images: new Float32Array(32).fill(0.5) }),
      /own, train: the images are a Float32Array; give bytes from 0 to 255 as a Uint8Array; .*createBatch/,
    ],
    ['a list of numbers', arrays({}, { images: Array(32).fill(0.5) }), /the images are a list of 32/],
    ['no labels', arrays({}, { labels: undefined }), /the labels are undefined/],
    ['an unknown option', arrays({ normalisation: {} }), /no option normalisation \(did you mean normalization\?\)/],
    ['an unknown augmentation', arrays({ augmentation: 'flip' }), /augmentation is 'flip'; it must be crop-flip, /],
    ['one class', arrays({ classes: 1 }), /classes is 1/],
    ['no test images', arrays({ test: undefined }), /test is missing/],
    [
      'plain numbers in a batch',
      () => createBatch([1], wrong([0.5]), [0]),
      /images of a batch are \[0.5\]; .*Float32Array/,
    ],
    ['a broken label', () => createBatch([1], new Float32Array(1), [0.5]), /label of image 0 of a batch is 0.5/],
    [
      'an image that there isn’t',
      () => {
        const d = wrong<Parameters<typeof makeBatch>[0] & { train: Parameters<typeof makeBatch>[1] }>(arrays({})());
        return makeBatch(d, d.train, [7]);
      },
      /there is no image 7 among 2/,
    ],
    ['too few elements', () => floatTensor([2, 3], [1]), /1 elements for the shape \[2, 3\], which takes 6/],
    ['a shape that is none', () => floatTensor(wrong(3), [1]), /the shape must be a list of sizes/],
  ])('refuses %s', (_, make, message) => {
    expect(refusal(make)).toMatch(message);
  });

  it('refuses options of loadDataset that there are none of', async () => {
    expect(await lateRefusal(() => loadDataset('mnist', wrong({ chanels: 1 })))).toMatch(/did you mean channels\?/);
    expect(await lateRefusal(() => loadDataset('mnist', wrong({ channels: 2 })))).toMatch(/channels is 2; .* 1 or 3/);
  });

  it('refuses tensors to save that are none', async () => {
    const broken = { ...floatTensor([1], [1]), shape: [2] };
    expect(await lateRefusal(() => writeSafetensors(path('x'), [['a', broken]]))).toMatch(
      /1 elements for the shape \[2\]/,
    );
  });
});

describe('a compiled network', () => {
  const compiled = compile(good);
  const batch = createBatch([1, 4, 4], new Float32Array(32), [0, 1]);
  const scalars = { learningRate: 0.1, step: 0, seed: 0 };

  it('is planned for a batch only', () => {
    expect(refusal(() => planMemory(compiled.training, wrong('64')))).toMatch(/the batch size is '64'/);
    expect(refusal(() => planMemory(compiled.training, 0))).toMatch(/the batch size is 0/);
  });

  it('is exported with all of its state only', () => {
    expect(refusal(() => inferenceGraph(good, new Map()))).toMatch(/the state lacks out.weight; give all parameters/);
    const other = new Map(compiled.initial).set('out.bias', floatTensor([3], [1, 2, 3]));
    expect(refusal(() => inferenceGraph(good, other))).toMatch(
      /out.bias is float32 \[3\], the network has float32 \[2\]/,
    );
  });

  it('is written with known options only', async () => {
    expect(await lateRefusal(() => writeBundle(path('x'), good, compiled, wrong({ forced: true })))).toMatch(
      /writeBundle: there is no option forced \(did you mean force\?\)/,
    );
  });

  it('takes steps with batches and scalars only', async () => {
    const bundle = await writeBundle(path('steps'), good, compiled);
    expect(await lateRefusal(() => TrainingModel.open(bundle, compiled.initial, wrong({ thread: 1 })))).toMatch(
      /no option thread \(did you mean threads\?\)/,
    );
    const model = await TrainingModel.open(await openBundle(path('steps')), compiled.initial, { threads: 1 });
    const step = (given: unknown, numbers: unknown): Promise<string> =>
      lateRefusal(() => model.step(wrong(given), wrong(numbers)));
    expect(await step(batch, undefined)).toMatch(
      /scalars of a step: the options are undefined; .*learningRate, step, seed/,
    );
    expect(await step(batch, { ...scalars, learningRate: undefined })).toMatch(/learningRate is missing/);
    expect(await step(batch, { ...scalars, learningRate: Number.NaN })).toMatch(/learningRate is NaN/);
    expect(await step(batch, { ...scalars, lr: 1 })).toMatch(/no option lr/);
    expect(await step(batch, { ...scalars, step: 0.5 })).toMatch(/step is 0.5; it must be a whole number/);
    expect(await step(undefined, scalars)).toMatch(/the batch is undefined, not \{ images, labels \}; createBatch/);
    expect(await step({ images: batch.images }, scalars)).toMatch(/labels is no tensor with dtype int64/);
    expect(await step({ ...batch, images: { ...batch.images, shape: [4, 1, 4, 4] } }, scalars)).toMatch(
      /images has 32 elements for the shape \[4, 1, 4, 4\], which takes 64/,
    );
    expect(await step({ ...batch, images: floatTensor([2, 16], new Float32Array(32)) }, scalars)).toMatch(
      /the images are \[2, 16\], the network takes \[N, 1, 4, 4\]/,
    );
    expect((await model.step(batch, scalars)).loss).toBeGreaterThan(0);
    await model.close();
    expect(await step(batch, scalars)).toMatch(/is closed already; open it again/);
    const evaluation = await EvaluationModel.open(bundle, compiled.initial, { threads: 1 });
    expect(await lateRefusal(() => evaluation.evaluate(wrong({})))).toMatch(/images is no tensor/);
    await evaluation.close();
  });

  it('is opened as a bundle with the whole state only', async () => {
    const open = (bundle: unknown, state: unknown): Promise<string> =>
      lateRefusal(() => TrainingModel.open(wrong(bundle), wrong(state)));
    const bundle = await writeBundle(path('opened'), good, compiled);
    expect(await open(path('opened'), compiled.initial)).toMatch(/the bundle is '.*'; give what openBundle/);
    expect(await open(Promise.resolve(bundle), compiled.initial)).toMatch(/the bundle is a Promise/);
    expect(await open(bundle, Object.fromEntries(compiled.initial))).toMatch(/the state is an object; give a Map/);
    expect(await open(bundle, new Map())).toMatch(/the state lacks out\./);
    const other = new Map(compiled.initial).set('out.bias', floatTensor([3], [1, 2, 3]));
    expect(await open(bundle, other)).toMatch(/state's out.bias is float32 \[3\], the network has float32 \[2\]/);
    expect(await lateRefusal(() => EvaluationModel.open(bundle, new Map()))).toMatch(/the state lacks out\./);
    expect(await lateRefusal(() => openBundle(wrong(undefined)))).toMatch(/folder is missing; it must be a path/);
  });

  it('predicts with known options only', async () => {
    expect(await lateRefusal(() => Predictor.open('x.onnx', wrong({ devise: 'cpu' })))).toMatch(
      /did you mean device\?/,
    );
  });
});
