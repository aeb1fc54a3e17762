/**
 * @file A training loop of one's own: one's own batches, schedule and rule for when to stop, call by call.
 *
 *     npm run build && node dist/examples/own-loop.js FOLDER
 */

import { join } from 'node:path';
import {
  type Batch,
  batchNorm,
  compile,
  conv2d,
  createBatch,
  EvaluationModel,
  exportModel,
  globalAveragePool,
  linear,
  type Network,
  readState,
  relu,
  TrainingModel,
  writeBundle,
  writeSafetensors,
} from 'densec';

const folder = process.argv[2] ?? 'runs/own-loop';
const [size, batchSize, seed] = [12, 32, 7];

const network: Network = {
  name: 'discs',
  inputShape: [1, size, size],
  classes: 2,
  forward(images) {
    let x = relu(batchNorm(conv2d(images, { name: 'conv1', filters: 8, kernel: 3, padding: 1 }), { name: 'norm1' }));
    x = relu(batchNorm(conv2d(x, { name: 'conv2', filters: 8, kernel: 3, stride: 2, padding: 1 }), { name: 'norm2' }));
    return linear(globalAveragePool(x), { name: 'classifier', features: 2 });
  },
};

// 1. The network becomes models, in a folder from which they are loaded.
const compiled = compile(network, { remat: 'efficient', optimizer: { kind: 'sgd', weightDecay: 1e-4 }, seed });
for (const warning of compiled.warnings) console.warn(warning);
const bundle = await writeBundle(join(folder, 'bundle'), network, compiled, { force: true });

// 2. Each model is a session in a thread of its own. The training model begins with a state; `compiled.initial` is fresh.
const training = await TrainingModel.open(bundle, compiled.initial);
const evaluation = await EvaluationModel.open(bundle, compiled.initial);

// 3. A step takes a batch and the scalars; it gives the loss and the wrong answers before the update it makes.
const held = await Promise.all([-1, -2, -3, -4].map((number) => discs(number)));
let [rate, best, waited] = [0.1, Number.POSITIVE_INFINITY, 0];
let step = 0;
for (; step < 400 && waited < 4; step++) {
  const { loss, errors } = await training.step(await discs(step), { learningRate: rate, step, seed });
  if (!Number.isFinite(loss)) throw new Error(`the loss of step ${step} is ${loss}; begin with a lower rate`);
  if ((step + 1) % 20 > 0) continue;

  // 4. Weights are copied out of the one model and given to the other.
  const state = await training.state();
  await evaluation.setState(state);
  let validation = 0;
  for (const batch of held) validation += (await evaluation.evaluate(batch)).loss / held.length;
  console.log(
    `step ${step + 1}: loss ${loss.toFixed(3)}, ${errors} of ${batchSize} wrong, held out ${validation.toFixed(3)}`,
  );

  // 5. One's own rules: the best state is kept, the rate falls where nothing gets better, and then the loop ends.
  if (validation < 0.98 * best) {
    [best, waited] = [validation, 0];
    await writeSafetensors(join(folder, 'best.safetensors'), state, { step: `${step + 1}` });
  } else {
    waited++;
    rate /= 2;
  }
}
await training.close();
await evaluation.close();

// 6. A file has all of the state, momentum included: a model that is opened with it goes on.
const resumed = await TrainingModel.open(bundle, await readState(join(folder, 'best.safetensors'), bundle));
const again = await resumed.step(await discs(step), { learningRate: rate, step, seed });
console.log(`resumed: loss ${again.loss.toFixed(3)}`);

// 7. What is deployed is one model, without training.
await exportModel(join(folder, 'model.onnx'), network, await resumed.state(), { classNames: ['disc', 'ring'] });
await resumed.close();

/** A batch of numbers of one's own making: discs and rings, at places that depend on the batch's number alone. */
async function discs(number: number): Promise<Batch> {
  const labels = Array.from({ length: batchSize }, (_, image) => image % 2);
  const images = new Float32Array(batchSize * size * size);
  for (const [image, label] of labels.entries()) {
    const [x, y] = [4 + 4 * random(number, image, 0), 4 + 4 * random(number, image, 1)];
    for (let pixel = 0; pixel < size * size; pixel++) {
      const radius = Math.hypot((pixel % size) - x, Math.floor(pixel / size) - y);
      const bright = radius < 3 && (label === 0 || radius > 1.5);
      // About 0 and of deviation 1, as networks like their images.
      images[image * size * size + pixel] = (bright ? 1.5 : -0.5) + random(number, image, 2 + pixel) - 0.5;
    }
  }
  return createBatch([1, size, size], images, labels);
}

/** A number in [0, 1) for a batch, an image and a place in it. */
function random(batch: number, image: number, place: number): number {
  let mixed = Math.imul(batch, 0x9e3779b1) ^ Math.imul(image, 0x85ebca6b) ^ Math.imul(place, 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39);
  return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
}
