/** @file A residual network (He et al., arXiv 1512.03385) written in the DSL. */

import {
  add,
  batchNorm,
  conv2d,
  globalAveragePool,
  linear,
  type Network,
  relu,
  type Tensor,
} from '../src/builders/index.js';

/** A small ResNet: a stem, then for each width one block, each but the first at half the height and width. */
export function resnet(widths: readonly [number, ...number[]], imageSize = 32): Network {
  return {
    name: `resnet_${widths.join('_')}`,
    inputShape: [1, imageSize, imageSize],
    classes: 10,
    forward(images) {
      let x = relu(convNorm(images, 'stem', { filters: widths[0], kernel: 3, stride: 2 }));
      for (const [index, filters] of widths.entries()) {
        x = residualBlock(x, `block${index + 1}`, filters, index === 0 ? 1 : 2);
      }
      return linear(globalAveragePool(x), { name: 'classifier', features: 10 });
    },
  };
}

/** Two 3×3 convolutions around which the input passes; where the shape changes, a 1×1 convolution fits it. */
function residualBlock(x: Tensor, name: string, filters: number, stride: number): Tensor {
  let y = relu(convNorm(x, `${name}.0`, { filters, kernel: 3, stride }));
  y = convNorm(y, `${name}.1`, { filters, kernel: 3 });
  const sameShape = stride === 1 && x.dim(1) === filters;
  const shortcut = sameShape ? x : convNorm(x, `${name}.shortcut`, { filters, kernel: 1, stride });
  return relu(add(y, shortcut));
}

/** A convolution that keeps height and width, or divides them by its stride, and a batch norm. */
function convNorm(
  x: Tensor,
  name: string,
  { filters, kernel, stride = 1 }: { filters: number; kernel: number; stride?: number },
): Tensor {
  const y = conv2d(x, { name: `${name}.conv`, filters, kernel, stride, padding: (kernel - 1) / 2 });
  return batchNorm(y, { name: `${name}.norm` });
}
