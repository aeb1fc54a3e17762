/**
 * @file Networks without dense blocks, as most are: a VGG, ResNet-20 and ResNet-18. Their parameters are named as in
 * bench/peer/torch_plain.py, where PyTorch's side of each is.
 */

import {
  add,
  batchNorm,
  conv2d,
  flatten,
  globalAveragePool,
  linear,
  maxPool2d,
  type Network,
  relu,
  type Tensor,
} from '../src/builders/index.js';

/** Filters of a VGG's convolutions, and where it pools. */
const vggLayers = [32, 32, 'pool', 64, 64, 'pool', 128, 128, 'pool'] as const;

/** A VGG with batch norm: 3×3 convolutions, three times half the height and width, one linear layer. */
export function vgg(imageSize = 32): Network {
  return {
    name: 'vgg',
    inputShape: [3, imageSize, imageSize],
    classes: 10,
    forward(images) {
      let x = images;
      let at = 0;
      for (const filters of vggLayers) {
        if (filters === 'pool') {
          x = maxPool2d(x, { kernel: 2 });
          at += 1;
          continue;
        }
        x = conv2d(x, { name: `features.${at}`, filters, kernel: 3, padding: 1 });
        x = relu(batchNorm(x, { name: `features.${at + 1}` }));
        at += 3;
      }
      return linear(flatten(x), { name: 'classifier', features: 10 });
    },
  };
}

/** The ResNet of 20 layers for CIFAR (He et al., arXiv 1512.03385, 4.2), with 1×1 convolutions where the shape changes. */
export function resnet20(imageSize = 32): Network {
  return {
    name: 'resnet20',
    inputShape: [3, imageSize, imageSize],
    classes: 10,
    forward(images) {
      const x = relu(convNorm(images, 'conv1', 'bn1', { filters: 16, kernel: 3 }));
      return linear(globalAveragePool(stages(x, [16, 32, 64], 3)), { name: 'fc', features: 10 });
    },
  };
}

/** torchvision's resnet18, with its stem for large images. */
export function resnet18(imageSize = 64): Network {
  return {
    name: 'resnet18',
    inputShape: [3, imageSize, imageSize],
    classes: 10,
    forward(images) {
      let x = relu(convNorm(images, 'conv1', 'bn1', { filters: 64, kernel: 7, stride: 2 }));
      x = maxPool2d(x, { kernel: 3, stride: 2, padding: 1 });
      return linear(globalAveragePool(stages(x, [64, 128, 256, 512], 2)), { name: 'fc', features: 10 });
    },
  };
}

/** The networks by name, with the batch and the images that they are compared at. */
export const plainNetworks = {
  vgg: { build: vgg, batchSize: 64, imageSize: 32 },
  resnet20: { build: resnet20, batchSize: 64, imageSize: 32 },
  resnet18: { build: resnet18, batchSize: 32, imageSize: 64 },
} as const;

/** The name of a plain network. */
export type PlainName = keyof typeof plainNetworks;

/** Stages of residual blocks; each but the first halves height and width. */
function stages(images: Tensor, widths: readonly number[], blocks: number): Tensor {
  let x = images;
  for (const [stage, filters] of widths.entries()) {
    for (let block = 0; block < blocks; block++) {
      x = residualBlock(x, `layer${stage + 1}.${block}`, filters, stage > 0 && block === 0 ? 2 : 1);
    }
  }
  return x;
}

function residualBlock(x: Tensor, name: string, filters: number, stride: number): Tensor {
  let y = relu(convNorm(x, `${name}.conv1`, `${name}.bn1`, { filters, kernel: 3, stride }));
  y = convNorm(y, `${name}.conv2`, `${name}.bn2`, { filters, kernel: 3 });
  const sameShape = stride === 1 && x.dim(1) === filters;
  const shortcut = sameShape
    ? x
    : convNorm(x, `${name}.downsample.0`, `${name}.downsample.1`, { filters, kernel: 1, stride });
  return relu(add(y, shortcut));
}

/** A convolution that keeps height and width, or divides them by its stride, and a batch norm. */
function convNorm(
  x: Tensor,
  conv: string,
  norm: string,
  { filters, kernel, stride = 1 }: { filters: number; kernel: number; stride?: number },
): Tensor {
  return batchNorm(conv2d(x, { name: conv, filters, kernel, stride, padding: (kernel - 1) / 2 }), { name: norm });
}
