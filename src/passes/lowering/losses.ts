/** @file Lowering of losses, in forms that neither overflow nor cancel. */

import { type GraphBuilder, InternalError, int64Tensor, type Value } from '../../ir/index.js';
import { batchDim, type LoweringRule, operand, product, reshaped } from './rule.js';

/** log softmax by subtracting each row's largest logit first, so that nothing overflows. */
export const crossEntropy: LoweringRule<'crossEntropy'> = ({ attributes }, inputs, { builder }) => {
  const [logits, labels, weights] = [operand(inputs, 0), operand(inputs, 1), inputs[2]];
  const largest = builder.emit('reduceMax', [logits], { axes: [1], keepDims: true });
  const shifted = builder.emit('sub', [logits, largest], {});
  const sum = builder.emit('reduceSum', [builder.emit('exp', [shifted], {})], { axes: [1], keepDims: true });
  const logProbabilities = builder.emit('sub', [shifted, builder.emit('log', [sum], {})], {});
  const hot = oneHot(builder, labels, logits);
  const chosen = product(builder, desired(builder, hot, attributes.smoothing, weights), logProbabilities);
  const perSample = builder.emit('reduceSum', [chosen], { axes: [1], keepDims: false });
  if (!weights) {
    const mean = builder.emit('reduceMean', [perSample], { axes: [0], keepDims: false });
    return [builder.emit('neg', [mean], {}), logProbabilities];
  }
  const all = builder.emit('reduceSum', [perSample], { axes: [0], keepDims: false });
  const mean = builder.emit('div', [all, weightOf(builder, hot, weights)], {});
  return [builder.emit('neg', [mean], {}), logProbabilities];
};

/** (softmax · Σq − q) / N, or divided by the sum of the samples' weights; times the gradient at the loss. */
export const crossEntropyGrad: LoweringRule<'crossEntropyGrad'> = ({ attributes }, inputs, { builder }) => {
  const [gradient, logProbabilities] = [operand(inputs, 0), operand(inputs, 1)];
  const [labels, weights] = [operand(inputs, 2), inputs[3]];
  const probabilities = builder.emit('exp', [logProbabilities], {});
  const hot = oneHot(builder, labels, logProbabilities);
  const wanted = desired(builder, hot, attributes.smoothing, weights);
  if (!weights) {
    const difference = builder.emit('sub', [probabilities, wanted], {});
    const count = builder.emit('sizeOf', [], { shape: [batchDim(labels)] });
    return [builder.emit('div', [product(builder, difference, gradient), count], {})];
  }
  const sums = builder.emit('reduceSum', [wanted], { axes: [1], keepDims: true });
  const difference = builder.emit('sub', [product(builder, probabilities, sums), wanted], {});
  return [builder.emit('div', [product(builder, difference, gradient), weightOf(builder, hot, weights)], {})];
};

/** What the rows of probabilities are held against: the one-hot rows, smoothed and weighted. */
function desired(builder: GraphBuilder, hot: Value, smoothing = 0, weights: Value | undefined): Value {
  const classes = hot.type.shape[1];
  if (typeof classes !== 'number') throw new InternalError('the number of classes is not known');
  const kept = smoothing === 0 ? hot : product(builder, hot, builder.scalar(1 - smoothing));
  const smoothed = smoothing === 0 ? hot : builder.emit('add', [kept, builder.scalar(smoothing / classes)], {});
  return weights ? product(builder, smoothed, weights) : smoothed;
}

/** The sum of the samples' weights. */
function weightOf(builder: GraphBuilder, hot: Value, weights: Value): Value {
  return builder.emit('reduceSum', [product(builder, hot, weights)], { axes: [0, 1], keepDims: false });
}

/**
 * With r = max(x, 0) and e = log(1 + exp(−|x|)), −log σ(x) is max(−x, 0) + e and −log(1 − σ(x)) is r + e: no exponential is
 * above 1, and nothing cancels.
 */
export const binaryCrossEntropy: LoweringRule<'binaryCrossEntropy'> = (_, inputs, { builder }) => {
  const [logits, targets, weights] = [operand(inputs, 0), operand(inputs, 1), inputs[2]];
  const { above, below, small } = halves(builder, logits);
  const rest = builder.emit('log', [builder.emit('add', [small, builder.scalar(1)], {})], {});
  const atPresent = product(builder, weighted(builder, targets, weights), builder.emit('add', [below, rest], {}));
  const absent = builder.emit('sub', [builder.scalar(1), targets], {});
  const atAbsent = product(builder, absent, builder.emit('add', [above, rest], {}));
  const each = builder.emit('add', [atPresent, atAbsent], {});
  return [builder.emit('reduceMean', [each], { axes: [0, 1], keepDims: false })];
};

/** ((1 − y)·σ(x) − w·y·σ(−x)) / (N·K), times the gradient at the loss. */
export const binaryCrossEntropyGrad: LoweringRule<'binaryCrossEntropyGrad'> = (_, inputs, { builder }) => {
  const [gradient, logits, targets, weights] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2), inputs[3]];
  const { large, tiny, isAbove } = sigmoids(builder, logits);
  const absent = builder.emit('sub', [builder.scalar(1), targets], {});
  const atAbsent = product(builder, absent, builder.emit('where', [isAbove, large, tiny], {}));
  const present = weighted(builder, targets, weights);
  const atPresent = product(builder, present, builder.emit('where', [isAbove, tiny, large], {}));
  const difference = builder.emit('sub', [atAbsent, atPresent], {});
  const count = builder.emit('sizeOf', [], { shape: logits.type.shape });
  return [builder.emit('div', [product(builder, difference, gradient), count], {})];
};

/** σ(x) = 1 / (1 + exp(−x)), without an exponential above 1. */
export function sigmoid(builder: GraphBuilder, logits: Value): Value {
  const { large, tiny, isAbove } = sigmoids(builder, logits);
  return builder.emit('where', [isAbove, large, tiny], {});
}

/** σ(|x|) and σ(−|x|), and where the first of them is σ(x). */
function sigmoids(
  builder: GraphBuilder,
  logits: Value,
): { readonly large: Value; readonly tiny: Value; readonly isAbove: Value } {
  const { small } = halves(builder, logits);
  const large = builder.emit('reciprocal', [builder.emit('add', [small, builder.scalar(1)], {})], {});
  const isAbove = builder.emit('greater', [logits, builder.scalar(0)], {});
  return { large, tiny: product(builder, small, large), isAbove };
}

/** max(x, 0), max(−x, 0) and exp(−|x|). */
function halves(
  builder: GraphBuilder,
  logits: Value,
): { readonly above: Value; readonly below: Value; readonly small: Value } {
  const above = builder.emit('relu', [logits], {});
  const below = builder.emit('relu', [builder.emit('neg', [logits], {})], {});
  const size = builder.emit('add', [above, below], {});
  return { above, below, small: builder.emit('exp', [builder.emit('neg', [size], {})], {}) };
}

function weighted(builder: GraphBuilder, targets: Value, weights: Value | undefined): Value {
  return weights ? product(builder, targets, weights) : targets;
}

export const countErrors: LoweringRule<'countErrors'> = (_, inputs, { builder }) => {
  const [logits, labels] = [operand(inputs, 0), operand(inputs, 1)];
  const predicted = builder.emit('argMax', [logits], { axis: 1 });
  const hit = builder.emit('cast', [builder.emit('equal', [predicted, labels], {})], { to: 'float32' });
  const hits = builder.emit('reduceSum', [hit], { axes: [0], keepDims: false });
  const count = builder.emit('sizeOf', [], { shape: [batchDim(labels)] });
  return [builder.emit('sub', [count, hits], {})];
};

/** Labels (N) as rows of (N, K) with a 1 at the label. */
function oneHot(builder: GraphBuilder, labels: Value, logits: Value): Value {
  const classes = logits.type.shape[1] as number;
  const all = builder.constant(
    int64Tensor(
      [1, classes],
      Array.from({ length: classes }, (_, label) => label),
    ),
  );
  const matches = builder.emit('equal', [reshaped(builder, labels, [batchDim(labels), 1]), all], {});
  return builder.emit('cast', [matches], { to: 'float32' });
}
