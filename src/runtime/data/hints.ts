/** @file What to do about a source that holds no data set, by what is found there instead. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** Ends of names of archives, and what unpacks them. */
const archives: readonly (readonly [end: RegExp, command: string])[] = [
  [/\.(tar\.gz|tgz)$/i, 'tar -xzf'],
  [/\.tar$/i, 'tar -xf'],
  [/\.zip$/i, 'unzip'],
];

const imageName = /\.(jpe?g|png)$/i;

/** Files and folders of CIFAR's other versions. */
const otherCifar = /^(data_batch_1(\.mat)?|cifar-10-batches-(py|mat)|cifar-100-(python|matlab))$/;

/** IDX files by whatever names, as EMNIST's. */
const idxName = /idx[13][-.]ubyte(\.gz)?$/i;

/** How to unpack a file, where it is an archive. */
export function unpackHint(path: string): string | undefined {
  const command = archives.find(([end]) => end.test(path))?.[1];
  return command && `unpack it (${command} ${basename(path)}) and give the folder that comes of it`;
}

/**
 * What to do about a folder that holds no data set; nothing where no advice can be given.
 * @param holdsOne whether a folder holds a data set
 */
export async function folderHint(folder: string, holdsOne: (folder: string) => boolean): Promise<string | undefined> {
  const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'));
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const names = entries.map(({ name }) => name);
  const inside = folders.map((name) => join(folder, name)).find(holdsOne);
  if (inside !== undefined) return `${inside} holds one: give that folder`;
  const above = dirname(resolve(folder));
  if (holdsOne(above)) return `${above}, the folder above, holds one: give that folder`;
  const cifar = names.find((name) => otherCifar.test(name));
  if (cifar !== undefined) {
    return `${cifar} is of CIFAR's Python or MATLAB version: take the binary one, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz`;
  }
  const idx = names.find((name) => idxName.test(name));
  if (idx !== undefined) {
    return `${idx} is an IDX file of another name: call the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, with .gz where they have it`;
  }
  const archive = names.find((name) => unpackHint(name) !== undefined);
  if (archive !== undefined) return `there is ${archive}: ${unpackHint(archive)}`;
  const classes = await asyncFilter(folders.slice(0, mostLookedInto), (name) => hasImages(join(folder, name)));
  if (classes.length === 0) return undefined;
  return `there are images in ${classes.slice(0, 3).join(', ')}${classes.length > 3 ? ', …' : ''} but no train/: move each class's folder into train/, and some of its images into a folder of the same name in val/`;
}

/** Folders that are looked into for images: enough to tell. */
const mostLookedInto = 10;

async function hasImages(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => imageName.test(name));
}

async function asyncFilter<T>(items: readonly T[], test: (item: T) => Promise<boolean>): Promise<T[]> {
  const results = await Promise.all(items.map(test));
  return items.filter((_, index) => results[index]);
}
