/** @file What a DenseNet may be: its options, the published architectures, and what is impossible. */

import { z } from 'zod';
import {
  accepted,
  type Chosen,
  count,
  counts,
  extents,
  fieldsOf,
  number,
  onOff,
  optional,
  given as said,
} from '../choices.js';
import { aNumber, checkNames, checkValue, oneOf, RequestError } from '../ir/index.js';

/** The options of a DenseNet with bottlenecks and compression (DenseNet-BC). */
export const denseNetChoices = {
  /** Channels that each layer adds. */
  growthRate: count({ name: 'growth rate', flag: '--growth-rate <n>', help: 'channels each layer adds' }),
  /** Layers of each dense block. */
  blockConfig: counts(
    {
      name: 'block configuration',
      flag: '--block-config <a,b,c>',
      help: 'layers of each dense block, instead of --depth',
    },
    'number of layers of block',
  ),
  /** Channels after the stem. */
  initFeatures: count({
    name: 'number of initial features',
    flag: '--init-features <n>',
    help: 'channels after the stem',
  }),
  /** Share of the channels that a transition keeps, above 0 and at most 1. */
  compression: number(
    {
      name: 'compression',
      flag: '--compression <x>',
      help: 'share of channels a transition keeps, above 0 to 1',
    },
    'above 0 and at most 1 (0.5 halves the channels, 1 keeps them)',
    (value) => value > 0 && value <= 1,
  ),
  /** Channels of a bottleneck, in growth rates. */
  bnSize: count({ name: 'bottleneck size', flag: '--bn-size <n>', help: 'bottleneck channels, in growth rates' }),
  /** Dropout after each 3×3 convolution. */
  dropRate: number(
    {
      name: 'drop rate',
      flag: '--drop-rate <x>',
      help: 'share of values dropped after each 3×3 convolution, 0 to below 1',
    },
    'at least 0 and below 1',
    (value) => value >= 0 && value < 1,
  ),
  classes: count({
    name: 'number of classes',
    flag: '--classes <n>',
    help: 'number of classes, or of outputs with another --loss',
  }),
  /** Height of the images, and width where `imageWidth` is absent. */
  imageSize: extents({
    name: 'image size',
    flag: '--image-size <n>',
    help: 'height and width of the images in pixels, or HEIGHTxWIDTH as in 48x64',
  }),
  /** Width of the images where it is not the height. */
  imageWidth: optional(
    count({ name: 'image width', flag: '--image-width <n>', help: 'width of the images where it is not the height' }),
  ),
  /** Channels of the images. */
  channels: count({
    name: 'number of channels',
    flag: '--channels <n>',
    help: 'channels of the images: 3, or 1 for grey',
  }),
  /** One 3×3 convolution as the stem; otherwise ImageNet's: 7×7 stride 2, batch norm, ReLU, 3×3 max pool stride 2. */
  smallInputs: onOff({
    name: 'small inputs',
    flag: '--small-inputs',
    help: "CIFAR's stem, one 3×3 convolution",
    negation: "ImageNet's stem: 7×7 stride 2 and a max pool",
  }),
};

/** A DenseNet with bottlenecks and compression (DenseNet-BC). */
export type DenseNetConfig = Chosen<typeof denseNetChoices>;

/** A configuration in files. */
export const denseNetSchema = z.object(fieldsOf(denseNetChoices)) as unknown as z.ZodType<DenseNetConfig>;

/** CIFAR's network, but for the blocks. */
export const denseNetDefaults = {
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

/**
 * The whole configuration: an architecture's or CIFAR's defaults (growth rate 12, 100 layers), overridden by what is
 * given. Initial features are twice the growth rate unless told.
 * @throws RequestError naming valid values nearby when the options describe no network
 */
export function denseNetConfig(options: DenseNetOptions = {}): DenseNetConfig {
  checkNames('densenet', options, ['arch', 'depth', ...Object.keys(denseNetChoices)]);
  const { arch, depth, ...given } = said(options);
  if (depth !== undefined) checkValue('the depth', depth, aNumber);
  if (depth !== undefined && (arch !== undefined || given.blockConfig !== undefined)) {
    const other = arch === undefined ? '--block-config' : '--arch';
    throw new RequestError(`--depth ${depth} and ${other} both set the blocks; give one of them`);
  }
  if (arch !== undefined) checkValue('the architecture', arch, oneOf(...Object.keys(architectures)));
  const preset = arch === undefined ? {} : architectures[arch];
  const blockConfig = given.blockConfig ?? preset?.blockConfig ?? blocksOfDepth(depth ?? 100);
  const chosen = { ...denseNetDefaults, ...preset, ...given, blockConfig };
  const { imageWidth, ...square } = accepted(denseNetSchema, {
    ...chosen,
    initFeatures: chosen.initFeatures ?? 2 * chosen.growthRate,
  });
  const config = imageWidth === undefined || imageWidth === square.imageSize ? square : { ...square, imageWidth };
  checkCompression(config);
  checkImageSize(config);
  checkSize(config);
  return config;
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

function checkImageSize({ imageSize, imageWidth = imageSize, smallInputs, blockConfig }: DenseNetConfig): void {
  const [longer, shorter] = [Math.max(imageSize, imageWidth), Math.min(imageSize, imageWidth)];
  if (longer > mostPixels) {
    throw new RequestError(`the image size is ${longer}; at most ${mostPixels} can be compiled: give a smaller one`);
  }
  const halvings = blockConfig.length - 1 + (smallInputs ? 0 : 2);
  const least = 2 ** halvings;
  if (shorter < least) {
    throw new RequestError(`the image size is ${shorter}; ${halvings} halvings need at least ${least}`);
  }
}
