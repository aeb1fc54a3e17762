/**
 * @file Several labels an image: a network that tells for each of three shapes whether it is there.
 *
 *     npm run build && node dist/examples/several-labels.js FOLDER
 */

import { join } from 'node:path';
import {
  arrayDataset,
  batchNorm,
  conv2d,
  flatten,
  floatTensor,
  type LabelledImages,
  linear,
  makeBatch,
  maxPool2d,
  type Network,
  Predictor,
  relu,
  Trainer,
} from 'densec';
import { noise } from './stripes.js';

const folder = process.argv[2] ?? 'runs/several-labels';
const labels = ['bar', 'beam', 'dot'];
const size = 8;

/** Where each shape is light. */
const shapes: readonly ((x: number, y: number) => boolean)[] = [
  (x) => x === 1,
  (_, y) => y === 6,
  (x, y) => x === 5 && y < 3,
];

/** Images with any of the shapes on noise, and for each image a 0 or 1 for each shape. */
function draw(count: number, random: () => number): LabelledImages {
  const present = Array.from({ length: count * labels.length }, () => Math.round(random()));
  const images = Uint8Array.from({ length: count * size * size }, (_, at) => {
    const [image, x, y] = [Math.floor(at / size ** 2), at % size, Math.floor(at / size) % size];
    const isLight = shapes.some((shape, label) => present[image * labels.length + label] === 1 && shape(x, y));
    return (isLight ? 180 : 40) + 50 * random();
  });
  return { images, labels: present };
}

const random = noise(1);
const dataset = arrayDataset({
  ...{ name: 'shapes', task: 'labels', classNames: labels, channels: 1, imageSize: size },
  ...{ train: draw(240, random), test: draw(60, random) },
});

const network: Network = {
  name: 'three-shapes',
  inputShape: [1, size, size],
  classes: labels.length,
  loss: { kind: 'bce', positiveWeights: [1, 1, 2] },
  forward(images) {
    const x = relu(batchNorm(conv2d(images, { name: 'conv', filters: 8, kernel: 3, padding: 1 }), { name: 'norm' }));
    return linear(flatten(maxPool2d(x, { kernel: 2 })), { name: 'classifier', features: labels.length });
  },
};

const trainer = new Trainer(network, { save: folder, force: true });
for await (const event of trainer.train(dataset, { epochs: 6, batchSize: 16, learningRate: 0.05 })) {
  if (event.event === 'epoch') console.log(`epoch ${event.epoch}: mean AUC ${event.validMetrics?.meanAuc?.toFixed(3)}`);
  if (event.event === 'result') console.log(`test: mean AUC ${event.testMetrics?.meanAuc?.toFixed(3)}`);
}

const model = join(folder, 'model.onnx');
await trainer.export(model);
const predictor = await Predictor.open(model);
const { images } = makeBatch(dataset, dataset.test, [0, 1]);
for (const told of await predictor.predict(floatTensor(images.shape, images.data))) {
  console.log(told.map(({ label, probability }) => `${label} ${(100 * probability).toFixed(0)} %`).join(', '));
}
await predictor.close();
