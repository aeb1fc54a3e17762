/** @file What to do about a source that holds no data set, by what is found there instead. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { imageName, otherImageName, tableName } from './image-names.js';

/** Ends of names of archives, and what unpacks them. */
const archives: readonly (readonly [end: RegExp, command: string])[] = [
  [/\.(tar\.gz|tgz)$/i, 'tar -xzf'],
  [/\.tar$/i, 'tar -xf'],
  [/\.zip$/i, 'unzip'],
];

/** Files and folders of CIFAR's MATLAB version. */
const otherCifar = /^(data_batch_1\.mat|cifar-10-batches-mat|cifar-100-matlab)$/;

/** IDX files by whatever names, as EMNIST's. */
const idxName = /idx[13][-.]ubyte(\.gz)?$/i;

/** How to unpack a file, where it is an archive, or what to give in its place. */
export function unpackHint(path: string): string | undefined {
  if (/\.npy$/i.test(path)) {
    return `it is one array of numpy: give the folder, with x_train.npy, y_train.npy, x_test.npy and y_test.npy in it`;
  }
  const command = archives.find(([end]) => end.test(path))?.[1];
  return command && `unpack it (${command} ${basename(path)}) and give the folder that comes of it`;
}

/**
 * What to do about a folder that holds no data set; nothing where no advice can be given.
 * @param holds whether a folder holds a data set: surely, by the names of its files, or perhaps
 */
export async function folderHint(
  folder: string,
  holds: { surely(folder: string): boolean; perhaps(folder: string): boolean },
): Promise<string | undefined> {
  const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'));
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const names = entries.map(({ name }) => name);
  const places = folders.map((name) => join(folder, name));
  const inside = places.find(holds.surely) ?? places.find(holds.perhaps);
  if (inside !== undefined) return `${inside} holds one: give that folder`;
  const above = dirname(resolve(folder));
  const images = names.filter((name) => imageName.test(name));
  if (holds.surely(above)) return `${above}, the folder above, holds one: give that folder`;
  const cifar = names.find((name) => otherCifar.test(name));
  if (cifar !== undefined) {
    return `${cifar} is of CIFAR's MATLAB version: take the binary or the Python one, as cifar-10-binary.tar.gz or cifar-100-python.tar.gz`;
  }
  const idx = names.find((name) => idxName.test(name));
  if (idx !== undefined) {
    return `${idx} is an IDX file of another name: call the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, with .gz where they have it`;
  }
  const archive = names.find((name) => unpackHint(name) !== undefined);
  if (archive !== undefined) return `there is ${archive}: ${unpackHint(archive)}`;
  const arrays = names.filter((name) => /\.npz$/i.test(name));
  if (arrays.length > 1) return `there are ${arrays.length} .npz files, as ${arrays[0]}: give one of them`;
  const table = names.find((name) => tableName.test(name));
  if (table !== undefined) return `there is ${table}: give that file, if it lists image files and their labels`;
  if (images.length > 0) {
    const count = images.length === 1 ? 'is an image' : `are ${images.length} images`;
    return `there ${count} in it, as ${images[0]}, but nothing tells their classes: give the folder above if it is that of one class; else move the images of each class into a folder of their own, or list files and labels in a CSV file and give that`;
  }
  const below = await Promise.all(places.slice(0, mostLookedInto).map((place) => readdir(place).catch(() => [])));
  const unread = [...names, ...below.flat()].find((name) => otherImageName.test(name));
  return unread && `there are images of a format that is not read, as ${unread}: convert them to PNG or JPEG`;
}

/** Folders that are looked into for images: enough to tell. */
const mostLookedInto = 10;
