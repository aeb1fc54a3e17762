/** @file Which image files there are, class by class. */

import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { fileFailure } from '../files/atomic-file.js';
import { firstImageName, imageName, otherImageName } from './image-names.js';

/** How folders are looked through: 1 as runs did that began before links were followed and more formats read. */
export type ScanRules = 1 | 2;

/** A folder of folders of images. */
export interface FolderScan {
  readonly folder: string;
  /** Sorted by name, by code units as in Python and C. */
  readonly classes: readonly ClassFiles[];
  /** What was passed over, as told to people. */
  readonly notes: readonly string[];
}

/** The files of one class. */
export interface ClassFiles {
  readonly name: string;
  readonly files: readonly string[];
  /** How many files there are that are no images. */
  readonly others: number;
}

/**
 * Lists the images of each folder in a folder, those in deeper folders too. Names that begin with a dot are hidden
 * files and folders of some program and passed over; other files that are no images are told.
 * @throws FailureError when a folder can't be read
 */
export async function scanFolder(folder: string, rules: ScanRules = 2): Promise<FolderScan> {
  const classes: ClassFiles[] = [];
  const others: string[] = [];
  const isImage = rules === 1 ? firstImageName : imageName;
  for (const name of await subfolders(folder)) {
    const all = await filesBelow(join(folder, name), rules, folder);
    const files = all.filter((file) => isImage.test(file)).sort();
    const rest = all.filter((file) => !isImage.test(file)).sort();
    classes.push({ name, files, others: rest.length });
    for (const file of rest) others.push(file);
  }
  return { folder, classes, notes: tellOthers(folder, others) };
}

/** The images in a folder and those below it, sorted, and what is said of other files. */
export async function imagesBelow(folder: string): Promise<{ files: string[]; notes: string[] }> {
  const all = await filesBelow(folder, 2);
  const others = all.filter((file) => !imageName.test(file)).sort();
  return { files: all.filter((file) => imageName.test(file)).sort(), notes: tellOthers(folder, others) };
}

/** What is said of files that are not used: images in formats that are not read, and files of other kinds. */
function tellOthers(folder: string, others: readonly string[]): string[] {
  const unread = others.filter((file) => otherImageName.test(file));
  const rest = others.filter((file) => !otherImageName.test(file));
  const tell = (files: readonly string[], one: string, many: string): string[] =>
    files.length === 0 ? [] : [`${folder}: ${files.length === 1 ? one : `${files.length} ${many}`}, as ${files[0]}`];
  return [
    ...tell(
      unread,
      '1 image is in a format that is not read (convert it to PNG or JPEG) and not used',
      'images are in formats that are not read (convert them to PNG or JPEG) and not used',
    ),
    ...tell(rest, '1 file is no image and not used', 'files are no images and not used'),
  ];
}

/** Folders in a folder, links to folders among them, sorted; hidden ones are left out. */
async function subfolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const { name } of await list(folder)) {
    if (await isFolder(join(folder, name))) names.push(name);
  }
  return names.sort();
}

/**
 * Paths of all files in a folder and those below it. A link to a folder is followed, unless that folder has been
 * looked at already or holds the link, the class or the whole data set. Links to files count as files: what they lead
 * to is seen when they are read.
 * @param root folder of the whole data set
 */
async function filesBelow(folder: string, rules: ScanRules, root = folder): Promise<string[]> {
  const files: string[] = [];
  const seen = new Set<string>();
  const walk = async (place: string, above: readonly string[]): Promise<void> => {
    const real = await realpath(place).catch(() => place);
    if (seen.has(real)) return;
    seen.add(real);
    const linked: string[] = [];
    const chain = [...above, real];
    for (const entry of (await list(place)).sort(byName)) {
      const path = join(place, entry.name);
      if (entry.isDirectory()) await walk(path, chain);
      else if (rules === 2 && !entry.isFile() && (await isFolder(path))) linked.push(path);
      else files.push(path);
    }
    // After the folders themselves, so that files go by their own names where they have both.
    for (const path of linked) {
      const target = await realpath(path);
      if (!chain.some((inside) => holds(target, inside))) await walk(path, chain);
    }
  };
  await walk(folder, [await realpath(root).catch(() => root)]);
  return files;
}

/** Whether a folder is another one, or above it. */
function holds(folder: string, other: string): boolean {
  return `${other}${sep}`.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1;
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** What is in a folder and not hidden. */
async function list(folder: string): Promise<Dirent[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'));
  } catch (error) {
    throw fileFailure('read', folder, error);
  }
}
