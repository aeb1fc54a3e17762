/** @file What check-package.sh compiles and runs in an empty project: the library as a user imports it. */

import {
  arrayDataset,
  batchNorm,
  conv2d,
  floatTensor,
  globalAveragePool,
  int64Tensor,
  linear,
  type Network,
  relu,
  type TrainEvent,
  Trainer,
  writeSafetensors,
} from 'densec';

const network: Network = {
  name: 'tiny',
  inputShape: [1, 4, 4],
  classes: 2,
  forward(images) {
    const x = relu(batchNorm(conv2d(images, { name: 'conv', filters: 4, kernel: 3, padding: 1 }), { name: 'norm' }));
    return linear(globalAveragePool(x), { name: 'classifier', features: 2 });
  },
};

// Bright images and dark ones.
const labels = Array.from({ length: 32 }, (_, index) => index % 2);
const images = Uint8Array.from(labels.flatMap((label) => Array<number>(16).fill(label === 1 ? 200 : 50)));
const all = { images, labels };
const dataset = arrayDataset({ name: 'brightness', channels: 1, imageSize: 4, train: all, test: all });

const trainer = new Trainer(network, { save: 'run', remat: 'efficient' });
let last: TrainEvent | undefined;
for await (const event of trainer.train(dataset, { epochs: 4, batchSize: 8, validSize: 0 })) last = event;
if (last?.event !== 'result' || last.testError !== 0) throw new Error(`the run ended with ${JSON.stringify(last)}`);
await trainer.export('own.onnx', { classNames: ['dark', 'bright'] });

const pixels = Float32Array.from({ length: 4 * 3 * 64 }, (_, index) => Math.sin(index));
await writeSafetensors('batch.safetensors', [
  ['images', floatTensor([4, 3, 8, 8], pixels)],
  ['labels', int64Tensor([4], [0, 1, 2, 0])],
]);
