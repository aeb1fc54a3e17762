/** @file The DenseNet family (Huang et al., arXiv 1608.06993) with the options of the memory-efficient implementation. */

import {
  aFlag,
  aNumber,
  aText,
  checkOptions,
  checkValue,
  type Kinds,
  listOf,
  oneOf,
  RequestError,
} from '../ir/index.js';
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

/** A DenseNet with bottlenecks and compression (DenseNet-BC). */
export interface DenseNetConfig {
  /** Channels that each layer adds. */
  readonly growthRate: number;
  /** Layers of each dense block. */
  readonly blockConfig: readonly number[];
  /** Channels after the stem. */
  readonly initFeatures: number;
  /** Share of the channels that a transition keeps, above 0 and at most 1. */
  readonly compression: number;
  /** Channels of a bottleneck, in growth rates. */
  readonly bnSize: number;
  /** Dropout after each 3×3 convolution. */
  readonly dropRate: number;
  readonly classes: number;
  /** Height and width of the images. */
  readonly imageSize: number;
  /** Channels of the images. */
  readonly channels: number;
  /** One 3×3 convolution as the stem; otherwise ImageNet's: 7×7 stride 2, batch norm, ReLU, 3×3 max pool stride 2. */
  readonly smallInputs: boolean;
}

/** A DenseNet, which can be built again from its configuration. */
export interface DenseNet extends Network {
  readonly config: DenseNetConfig;
}

const cifar = {
  growthRate: 12,
  compression: 0.5,
  bnSize: 4,
  dropRate: 0,
  classes: 10,
  imageSize: 32,
  channels: 3,
  smallInputs: true,
} as const;

const imageNet = (
  growthRate: number,
  blockConfig: readonly number[],
  initFeatures: number,
): Partial<DenseNetConfig> => ({
  growthRate,
  blockConfig,
  initFeatures,
  classes: 1000,
  imageSize: 224,
  smallInputs: false,
});

/** Far above any network one trains: the deepest published has 130 layers in its blocks. */
const mostLayers = 1000;

/** Far above any data set's; labels are compared with a list of them. */
const mostClasses = 1_000_000;

/** Far above the height and width of any image one trains on; beyond it, counts of elements stop being exact. */
const mostPixels = 65_536;

/** 4 GB of weights, thirty times the largest published network's. */
const mostParameters = 1_000_000_000;

/** The published ImageNet networks. */
export const architectures: Readonly<Record<string, Partial<DenseNetConfig>>> = {
  densenet121: imageNet(32, [6, 12, 24, 16], 64),
  densenet169: imageNet(32, [6, 12, 32, 32], 64),
  densenet201: imageNet(32, [6, 12, 48, 32], 64),
  densenet161: imageNet(48, [6, 12, 36, 24], 96),
  densenet264: imageNet(32, [6, 12, 64, 48], 64),
};

/** What a user may ask for: what is given explicitly overrides `arch`; `depth` excludes `arch` and `blockConfig`. */
export type DenseNetOptions = Partial<DenseNetConfig> & { readonly arch?: string; readonly depth?: number };

const denseNetKinds: Kinds<DenseNetOptions> = {
  arch: aText,
  depth: aNumber,
  growthRate: aNumber,
  blockConfig: listOf(aNumber),
  initFeatures: aNumber,
  compression: aNumber,
  bnSize: aNumber,
  dropRate: aNumber,
  classes: aNumber,
  imageSize: aNumber,
  channels: aNumber,
  smallInputs: aFlag,
};

/**
 * The whole configuration: an architecture's or CIFAR's defaults (growth rate 12, 100 layers), overridden by what is
 * given. Initial features are twice the growth rate unless told.
 * @throws RequestError naming valid values nearby when the options describe no network
 */
export function denseNetConfig(options: DenseNetOptions = {}): DenseNetConfig {
  const { arch, depth, ...given } = checkOptions('densenet', options, denseNetKinds);
  if (depth !== undefined && (arch !== undefined || given.blockConfig !== undefined)) {
    const other = arch === undefined ? '--block-config' : '--arch';
    throw new RequestError(`--depth ${depth} and ${other} both set the blocks; give one of them`);
  }
  if (arch !== undefined) checkValue('the architecture', arch, oneOf(...Object.keys(architectures)));
  const preset = arch === undefined ? {} : architectures[arch];
  const blockConfig = given.blockConfig ?? preset?.blockConfig ?? blocksOfDepth(depth ?? 100);
  const chosen = { ...cifar, ...preset, ...given, blockConfig };
  const config = { ...chosen, initFeatures: chosen.initFeatures ?? 2 * chosen.growthRate };
  checkConfig(config);
  return config;
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
    inputShape: [config.channels, config.imageSize, config.imageSize],
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

/** Three blocks of (depth − 4) / 6 layers. @throws RequestError naming the nearest depths */
function blocksOfDepth(depth: number): readonly number[] {
  const layers = (depth - 4) / 6;
  if (Number.isInteger(layers) && layers >= 1) return [layers, layers, layers];
  const below = 6 * Math.max(1, Math.floor(layers)) + 4;
  const above = 6 * Math.max(1, Math.ceil(layers)) + 4;
  const nearby =
    Number.isFinite(depth) && below !== above ? `${below} and ${above} are the nearest` : 'the least is 10';
  throw new RequestError(
    `the depth ${depth} is impossible: it must be 6·L + 4 for L layers in each of three blocks; ${nearby}`,
  );
}

function checkConfig(config: DenseNetConfig): void {
  const counts: readonly [string, number][] = [
    ['growth rate', config.growthRate],
    ['number of initial features', config.initFeatures],
    ['bottleneck size', config.bnSize],
    ['number of classes', config.classes],
    ['image size', config.imageSize],
    ['number of channels', config.channels],
    ...config.blockConfig.map((layers, index): [string, number] => [`number of layers of block ${index + 1}`, layers]),
  ];
  for (const [what, value] of counts) {
    if (!Number.isInteger(value) || value < 1)
      throw new RequestError(`the ${what} is ${value}; it must be a whole number, at least 1`);
  }
  if (config.classes < 2) {
    throw new RequestError(`the number of classes is ${config.classes}; it must be at least 2, to tell images apart`);
  }
  if (config.blockConfig.length === 0)
    throw new RequestError('the block configuration is empty; give at least one block, as in 6,12,24,16');
  if (!(config.dropRate >= 0 && config.dropRate < 1)) {
    throw new RequestError(`the drop rate is ${config.dropRate}; it must be at least 0 and below 1`);
  }
  checkCompression(config);
  checkImageSize(config);
  checkSize(config);
}

/** Refuses what no machine could hold before anything is allocated. */
function checkSize({
  blockConfig,
  growthRate,
  bnSize,
  initFeatures,
  compression,
  classes,
  channels,
}: DenseNetConfig): void {
  const layers = blockConfig.reduce((sum, count) => sum + count, 0);
  if (layers > mostLayers) {
    throw new RequestError(`the blocks have ${layers} layers; at most ${mostLayers} can be compiled: give fewer`);
  }
  if (classes > mostClasses) {
    throw new RequestError(`there are ${classes} classes; at most ${mostClasses} can be compiled: give fewer`);
  }
  const width = bnSize * growthRate;
  let features = initFeatures;
  let parameters = channels * 9 * initFeatures;
  for (const [index, count] of blockConfig.entries()) {
    const kept = index === 0 ? features : Math.floor(features * compression);
    if (index > 0) parameters += features * kept;
    const inputs = count * kept + (growthRate * count * (count - 1)) / 2;
    parameters += inputs * width + count * width * growthRate * 9;
    features = kept + count * growthRate;
  }
  parameters += features * classes;
  if (parameters > mostParameters) {
    throw new RequestError(
      `the network would have about ${parameters.toPrecision(3)} parameters; at most ${mostParameters} can be compiled: give fewer classes or a smaller growth rate`,
    );
  }
}

function checkCompression({ compression, blockConfig, initFeatures, growthRate }: DenseNetConfig): void {
  if (!(compression > 0 && compression <= 1)) {
    throw new RequestError(
      `the compression is ${compression}; it must be above 0 and at most 1 (0.5 halves the channels, 1 keeps them)`,
    );
  }
  let channels = initFeatures;
  for (const [index, layers] of blockConfig.slice(0, -1).entries()) {
    const before = channels + layers * growthRate;
    channels = Math.floor(before * compression);
    if (channels < 1) {
      const least = (Math.ceil(1000 / before) / 1000).toFixed(3);
      throw new RequestError(
        `the compression ${compression} leaves none of the ${before} channels before transition ${index + 1}; give at least ${least}`,
      );
    }
  }
}

function checkImageSize({ imageSize, smallInputs, blockConfig }: DenseNetConfig): void {
  if (imageSize > mostPixels) {
    throw new RequestError(`the image size is ${imageSize}; at most ${mostPixels} can be compiled: give a smaller one`);
  }
  const halvings = blockConfig.length - 1 + (smallInputs ? 0 : 2);
  const least = 2 ** halvings;
  if (imageSize < least) {
    throw new RequestError(`the image size is ${imageSize}; ${halvings} halvings need at least ${least}`);
  }
}
