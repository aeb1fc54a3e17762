/** @file Which image files there are, class by class. */

import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileFailure } from '../atomic-file.js';

/** A folder of folders of images. */
export interface FolderScan {
  readonly folder: string;
  /** Sorted by name, by code units as in Python and C. */
  readonly classes: readonly { readonly name: string; readonly files: readonly string[] }[];
  /** What was passed over, as told to people. */
  readonly notes: readonly string[];
}

const imageName = /\.(jpe?g|png)$/i;

/**
 * Lists the images of each folder in a folder, those in deeper folders too. Names that begin with a dot are hidden
 * files and folders of some program and passed over; other files that are no images are told.
 * @throws FailureError when a folder can't be read
 */
export async function scanFolder(folder: string): Promise<FolderScan> {
  const classes: { name: string; files: string[] }[] = [];
  const others: string[] = [];
  for (const name of await subfolders(folder)) {
    const all = await filesBelow(join(folder, name));
    classes.push({ name, files: all.filter((file) => imageName.test(file)).sort() });
    others.push(...all.filter((file) => !imageName.test(file)).sort());
  }
  return { folder, classes, notes: others.length === 0 ? [] : [tell(folder, others)] };
}

/** What is said of files that are no images. */
function tell(folder: string, others: readonly string[]): string {
  const [first] = others;
  const count = others.length === 1 ? '1 file is' : `${others.length} files are`;
  return `${folder}: ${count} no .jpg, .jpeg or .png and not used, as ${first}`;
}

/** Folders in a folder, links to folders among them, sorted; hidden ones are left out. */
async function subfolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const { name } of await list(folder)) {
    if ((await stat(join(folder, name)).catch(() => undefined))?.isDirectory()) names.push(name);
  }
  return names.sort();
}

/** Paths of all files in a folder and those below it. Links count as files: what they lead to is seen when it is read. */
async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await list(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(path)));
    else files.push(path);
  }
  return files;
}

/** What is in a folder and not hidden. */
async function list(folder: string): Promise<Dirent[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'));
  } catch (error) {
    throw fileFailure('read', folder, error);
  }
}
