/** @file A multilayer perceptron written in the DSL: what a network is, in a few lines. */

import { flatten, linear, type Network, relu } from '../src/builders/index.js';

/** Fully connected layers of the given widths, each with a ReLU, and one more to the classes. */
export function mlp(widths: readonly number[], imageSize = 32): Network {
  return {
    name: `mlp_${widths.join('_')}`,
    inputShape: [1, imageSize, imageSize],
    classes: 10,
    forward(images) {
      let x = flatten(images);
      for (const [index, features] of widths.entries()) {
        x = relu(linear(x, { name: `hidden${index + 1}`, features }));
      }
      return linear(x, { name: 'classifier', features: 10 });
    },
  };
}
