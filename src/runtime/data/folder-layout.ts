/** @file Which folders of an image folder hold its training, validation and test images. */

import { readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { imageName, tableName } from './image-names.js';
import type { KnownData } from './types.js';

/** What a folder of classes is for, by its name in lower case; of several, the first one is used. */
const roles = {
  train: ['train', 'training'],
  validation: ['val', 'valid', 'validation'],
  test: ['test', 'testing'],
} as const;

type Role = keyof typeof roles;

/** Names of the folders of each use, as they are written; `unused` has those that another one goes before. */
export interface Layout {
  readonly train?: string | undefined;
  readonly validation?: string | undefined;
  readonly test?: string | undefined;
  readonly unused: readonly string[];
}

/**
 * The folders in a folder that hold classes for some use, whatever the case of their names.
 * @param rules 1: as runs did that began when the names had to be in lower case
 */
export function findLayout(directory: string, rules: KnownData['rules'] = 2): Layout {
  const names = folderNames(directory).filter((name) => folderNames(join(directory, name)).length > 0);
  const ofRole = (role: Role): string[] =>
    roles[role].flatMap((wanted) =>
      names
        .filter((name) => (rules === 1 ? name : name.toLowerCase()) === wanted)
        // Lower case goes first where both are there.
        .sort((a, b) => Number(b === wanted) - Number(a === wanted)),
    );
  const [train, ...trainRest] = ofRole('train');
  const [validation, ...validationRest] = ofRole('validation');
  const [test, ...testRest] = ofRole('test');
  return { train, validation, test, unused: [...trainRest, ...validationRest, ...testRest] };
}

/** The use that a word names, whatever its case. */
export function partOf(word: string): Role | undefined {
  const lower = word.trim().toLowerCase();
  return (Object.keys(roles) as Role[]).find((role) => (roles[role] as readonly string[]).includes(lower));
}

/** How deep images are looked for in a folder, to tell whether it is a class. */
const depth = 3;

/**
 * Whether a folder holds folders of images, one a class: several, or one with images in it (unless they are those of a
 * table beside it).
 */
export function holdsClasses(directory: string): boolean {
  const classes = { direct: 0, below: 0 };
  for (const name of folderNames(directory)) {
    const place = join(directory, name);
    if (findLayout(place).train !== undefined) continue;
    if (hasImages(place, 1)) classes.direct++;
    else if (hasImages(place, depth)) classes.below++;
    if (classes.direct + classes.below > 1) return true;
  }
  return classes.direct > 0 && !readdirSync(directory).some((name) => tableName.test(name));
}

/** Whether a folder holds validation or test images, in folders of classes. */
export function holdsTest(directory: string): boolean {
  const { validation, test } = findLayout(directory);
  return [validation, test].some((name) => name !== undefined && hasImages(join(directory, name), depth));
}

/** The data set that a folder is the part of, with another part beside it; undefined where it stands for itself. */
export function wholeOf(directory: string): { readonly whole: string; readonly beside: string } | undefined {
  const [name, whole] = [basename(resolve(directory)), dirname(resolve(directory))];
  const { train, validation, test } = findLayout(whole);
  const parts = [train, validation, test].filter((part) => part !== undefined);
  const beside = parts.find((part) => part !== name);
  return parts.includes(name) && beside !== undefined ? { whole, beside } : undefined;
}

/** Whether there are images in a folder, or so many levels below. */
function hasImages(folder: string, levels = 1): boolean {
  let entries: { readonly name: string; isFile(): boolean }[];
  try {
    entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
  } catch {
    return false;
  }
  if (entries.some(({ name }) => imageName.test(name))) return true;
  return levels > 1 && entries.some((entry) => !entry.isFile() && hasImages(join(folder, entry.name), levels - 1));
}

/** Folders in a folder, and links, which may lead to folders; hidden ones are left out. */
function folderNames(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}
