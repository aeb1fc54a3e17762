/**
 * @file Writes a batch file that fits a bundle: four images of made-up numbers.
 *
 *     node scripts/make-batch.mjs BUNDLE FILE
 */

import { floatTensor, openBundle, writeSafetensors } from '../dist/src/index.js';

const [bundle, file] = process.argv.slice(2);
const { manifest } = await openBundle(bundle);
const shape = [4, ...manifest.inputShape];
const length = shape.reduce((product, extent) => product * extent, 1);
const images = Float32Array.from({ length }, (_, index) => Math.sin(index));
await writeSafetensors(file, [['images', floatTensor(shape, images)]]);
