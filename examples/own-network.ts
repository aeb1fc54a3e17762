/**
 * @file A network and data of one's own, from the first line to labelled images.
 *
 *     npm run build && node dist/examples/own-network.js FOLDER
 */

import { join } from 'node:path';
import {
  batchNorm,
  concat,
  conv2d,
  floatTensor,
  globalAveragePool,
  linear,
  makeBatch,
  maxPool2d,
  type Network,
  Predictor,
  relu,
  type Tensor,
  Trainer,
} from 'densec';
import { stripes } from './stripes.js';

const folder = process.argv[2] ?? 'runs/own-network';
const dataset = stripes([0, 1, 2, 3], 96);

/** A convolution, its batch norm and a ReLU. */
function layer(x: Tensor, name: string, kernel: number): Tensor {
  return relu(batchNorm(conv2d(x, { name, filters: 6, kernel, padding: (kernel - 1) / 2 }), { name: `${name}.norm` }));
}

/** Two branches that see windows of different sizes, side by side. */
const network: Network = {
  name: 'two-branches',
  inputShape: [1, 8, 8],
  classes: 4,
  forward(images) {
    const branches = concat([layer(images, 'small', 3), layer(images, 'large', 5)]);
    const x = layer(maxPool2d(branches, { kernel: 2 }), 'joined', 3);
    return linear(globalAveragePool(x), { name: 'classifier', features: 4 });
  },
};

const trainer = new Trainer(network, { save: folder, remat: 'efficient', force: true });
for await (const event of trainer.train(dataset, { epochs: 6, batchSize: 16, learningRate: 0.1, schedule: 'cosine' })) {
  if (event.event === 'epoch') console.log(`epoch ${event.epoch}: training loss ${event.trainLoss.toFixed(3)}`);
  if (event.event === 'result') console.log(`test error ${event.testError}`);
}

const model = join(folder, 'model.onnx');
await trainer.export(model, { classNames: ['vertical', 'horizontal', 'rising', 'falling'] });

const predictor = await Predictor.open(model);
const { images } = makeBatch(dataset, dataset.test, [0, 1, 2, 3]);
for (const [best] of await predictor.predict(floatTensor(images.shape, images.data))) {
  console.log(`${best?.label} (${((best?.probability ?? 0) * 100).toFixed(0)} %)`);
}
await predictor.close();
