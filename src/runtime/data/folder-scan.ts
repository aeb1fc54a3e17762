/** @file Which image files there are, class by class. */

import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
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
 * files of some program and passed over; other files that are no images are told.
 * @throws FailureError when a folder can't be read
 */
export async function scanFolder(folder: string): Promise<FolderScan> {
  const classes: { name: string; files: string[] }[] = [];
  const others: string[] = [];
  for (const name of await subfolders(folder)) {
    const all = (await list(join(folder, name))).map((file) => join(folder, name, file));
    const visible = all.filter((file) => !basename(file).startsWith('.'));
    classes.push({ name, files: visible.filter((file) => imageName.test(file)).sort() });
    for (const file of visible.filter((path) => !imageName.test(path))) {
      if ((await stat(file).catch(() => undefined))?.isDirectory() !== true) others.push(file);
    }
  }
  const notes =
    others.length === 0 ? [] : [`${folder}: ${others.length} files are no .jpg, .jpeg or .png, as ${others[0]}`];
  return { folder, classes, notes };
}

/** Folders in a folder, links to folders among them, sorted; hidden ones are left out. */
async function subfolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of (await list(folder, false)).filter((entry) => !entry.startsWith('.'))) {
    if ((await stat(join(folder, name)).catch(() => undefined))?.isDirectory()) names.push(name);
  }
  return names.sort();
}

async function list(folder: string, recursive = true): Promise<string[]> {
  try {
    return await readdir(folder, { recursive });
  } catch (error) {
    throw fileFailure('read', folder, error);
  }
}
