/**
 * @file Numbers instead of classes: a network that tells how bright a disc is and how large.
 *
 *     npm run build && node dist/examples/regression.js FOLDER
 */

import { join } from 'node:path';
import {
  arrayDataset,
  batchNorm,
  conv2d,
  floatTensor,
  globalAveragePool,
  type LabelledImages,
  linear,
  makeBatch,
  type Network,
  Predictor,
  relu,
  Trainer,
} from 'densec';
import { noise } from './stripes.js';

const folder = process.argv[2] ?? 'runs/regression';
const values = ['brightness', 'radius'];
const size = 12;

/** Discs on black; for each image its brightness from 0 to 1 and its radius in pixels. */
function draw(count: number, random: () => number): LabelledImages {
  const discs = Array.from({ length: count }, () => [0.3 + 0.7 * random(), 1 + 4 * random()] as const);
  const images = Uint8Array.from({ length: count * size * size }, (_, at) => {
    const [brightness, radius] = discs[Math.floor(at / size ** 2)] ?? [0, 0];
    const [x, y] = [(at % size) - size / 2, (Math.floor(at / size) % size) - size / 2];
    return Math.hypot(x, y) <= radius ? 255 * brightness : 0;
  });
  return { images, labels: discs.flat() };
}

const random = noise(1);
const dataset = arrayDataset({
  ...{ name: 'discs', task: 'values', classNames: values, channels: 1, imageSize: size },
  ...{ train: draw(400, random), test: draw(60, random) },
});

const network: Network = {
  name: 'discs',
  inputShape: [1, size, size],
  classes: values.length,
  loss: { kind: 'huber', delta: 0.5 },
  forward(images) {
    let x = relu(batchNorm(conv2d(images, { name: 'conv1', filters: 8, kernel: 3, padding: 1 }), { name: 'norm1' }));
    x = relu(batchNorm(conv2d(x, { name: 'conv2', filters: 8, kernel: 3, padding: 1 }), { name: 'norm2' }));
    return linear(globalAveragePool(x), { name: 'regressor', features: values.length });
  },
};

const trainer = new Trainer(network, { save: folder, force: true });
for await (const event of trainer.train(dataset, {
  epochs: 12,
  batchSize: 16,
  learningRate: 0.05,
  schedule: 'cosine',
})) {
  if (event.event === 'epoch') console.log(`epoch ${event.epoch}: mean absolute error ${event.validError?.toFixed(3)}`);
  if (event.event === 'result') console.log(`test: mean absolute error ${event.testMetrics?.mae?.toFixed(3)}`);
}

const model = join(folder, 'model.onnx');
await trainer.export(model);
const predictor = await Predictor.open(model);
const { images, targets } = makeBatch(dataset, dataset.test, [0, 1]);
const predicted = await predictor.outputs(floatTensor(images.shape, images.data));
for (const [image, row] of predicted.entries()) {
  const told = values.map((name, at) => {
    return `${name} ${row[at]?.toFixed(2)} (is ${targets?.data[image * values.length + at]?.toFixed(2)})`;
  });
  console.log(told.join(', '));
}
await predictor.close();
