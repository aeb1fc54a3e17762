/** @file The DenseNet family (Huang et al., arXiv 1608.06993) with the options of the memory-efficient implementation. */

import { type DenseNetConfig, type DenseNetOptions, denseNetConfig } from './densenet-config.js';
import {
  averagePool2d,
  batchNorm,
  concat,
  conv2d,
  dropout,
  globalAveragePool,
  linear,
  maxPool2d,
  relu,
} from './layers.js';
import type { Network } from './network.js';
import type { Tensor } from './tensor.js';

/** A DenseNet, which can be built again from its configuration. */
export interface DenseNet extends Network {
  readonly config: DenseNetConfig;
}

/**
 * A DenseNet in the DSL, its parameters named as in the usual PyTorch implementations.
 * @throws RequestError when the options describe no network
 */
export function densenet(options: DenseNetOptions = {}): DenseNet {
  const config = denseNetConfig(options);
  return {
    config,
    name: `densenet_${config.blockConfig.join('_')}_k${config.growthRate}`,
    inputShape: [config.channels, config.imageSize, config.imageWidth ?? config.imageSize],
    classes: config.classes,
    forward(images) {
      let x = stem(images, config);
      for (const [index, layers] of config.blockConfig.entries()) {
        if (index > 0) x = transition(x, `features.transition${index}`, config.compression);
        x = denseBlock(x, layers, `features.denseblock${index + 1}`, config);
      }
      x = relu(batchNorm(x, { name: 'features.norm_final' }));
      return linear(globalAveragePool(x), { name: 'classifier', features: config.classes });
    },
  };
}

function stem(images: Tensor, { initFeatures, smallInputs }: DenseNetConfig): Tensor {
  const name = 'features.conv0';
  if (smallInputs) return conv2d(images, { name, filters: initFeatures, kernel: 3, padding: 1 });
  const x = conv2d(images, { name, filters: initFeatures, kernel: 7, stride: 2, padding: 3 });
  return maxPool2d(relu(batchNorm(x, { name: 'features.norm0' })), { kernel: 3, stride: 2, padding: 1 });
}

/** Every layer reads all features before it and adds `growthRate` channels. */
function denseBlock(x: Tensor, layers: number, name: string, config: DenseNetConfig): Tensor {
  const features = [x];
  for (let layer = 1; layer <= layers; layer++) {
    features.push(denseLayer(concat(features), `${name}.denselayer${layer}`, config));
  }
  return concat(features);
}

function denseLayer(x: Tensor, name: string, { growthRate, bnSize, dropRate }: DenseNetConfig): Tensor {
  let y = relu(batchNorm(x, { name: `${name}.norm1` }));
  y = conv2d(y, { name: `${name}.conv1`, filters: bnSize * growthRate, kernel: 1 });
  y = relu(batchNorm(y, { name: `${name}.norm2` }));
  y = conv2d(y, { name: `${name}.conv2`, filters: growthRate, kernel: 3, padding: 1 });
  return dropout(y, { name: `${name}.drop`, rate: dropRate });
}

function transition(x: Tensor, name: string, compression: number): Tensor {
  const y = relu(batchNorm(x, { name: `${name}.norm` }));
  const filters = Math.floor(x.dim(1) * compression);
  return averagePool2d(conv2d(y, { name: `${name}.conv`, filters, kernel: 1 }), { kernel: 2 });
}
