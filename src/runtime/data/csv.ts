/** @file Image files and their labels listed in a CSV file. */

import { existsSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { FailureError } from '../../ir/errors.js';
import { readTable, type TableRow } from './csv-table.js';
import { fileDataset } from './file-dataset.js';
import { assemble, fileSplit, forEvaluation, inTurn, listed, named, noFiles } from './file-parts.js';
import { partOf } from './folder-layout.js';
import { imageName } from './image-names.js';
import type { Dataset, DatasetOptions, FileSplit } from './types.js';

/** What is looked for, as told to people. */
export const tableLookedFor = 'a CSV file: a file and its label in each row, and its part (train, val, test) if told';

/** An image file of a table. */
interface Entry extends TableRow {
  readonly path: string;
}

type Part = NonNullable<ReturnType<typeof partOf>>;

/**
 * Loads the names and labels that a table lists; the rest is `fileDataset`. Files are relative to the table's folder.
 * Classes are sorted by name, whole numbers by value.
 * @throws FailureError when the table or files of it can't be read, or a file has several labels
 */
export async function loadCsv(path: string, options: DatasetOptions): Promise<Dataset> {
  const { parts = 'all' } = options;
  const folder = dirname(resolve(path));
  const { task = 'classes', targets: names = evaluated(options) } = options;
  const { rows, notes, targetNames } = await readTable(path, folder, task === 'classes' ? undefined : { task, names });
  if (rows.length === 0) throw new FailureError(`${path} lists no images; it must have a row for each: file and label`);
  const entries = unique(findFiles(rows, path, folder), path);
  const classNames = targetNames ?? namesOf(entries, path, options);
  const labels = new Map(classNames.map((name, label) => [name, label]));
  const byPart = new Map<Part, Entry[]>();
  for (const entry of entries.kept) {
    const part = entry.part === undefined ? 'train' : partOf(entry.part);
    if (part === undefined) {
      throw new FailureError(
        `${path}, line ${entry.line}: '${entry.part}' is no part of a data set; say train, val or test`,
      );
    }
    const list = byPart.get(part);
    if (list) list.push(entry);
    else byPart.set(part, [entry]);
  }
  const split = (part: Part): FileSplit | undefined => {
    const list = byPart.get(part);
    return (
      list &&
      fileSplit(
        inTurn(
          list.map(({ path: file, label, targets }) =>
            targets ? { file, label: 0, targets } : { file, label: labels.get(label) ?? 0 },
          ),
        ),
      )
    );
  };
  const source = { name: basename(path), place: path, folder, classNames, task };
  const [train, validation, test] = [split('train'), split('validation'), split('test')];
  const more = [...notes, ...entries.notes];
  const dataset = async (found: Omit<Parameters<typeof fileDataset>[0], keyof typeof source>): Promise<Dataset> => ({
    ...(await fileDataset({ ...source, ...found, notes: [...more, ...found.notes] }, options)),
    root: folder,
  });
  if (parts === 'test') {
    const tested = test ?? validation;
    if (tested) return dataset({ train: train ?? noFiles, test: tested, notes: [] });
    const all = train ?? noFiles;
    const { note, ...evaluated } = forEvaluation(all, path, options, folder);
    return dataset({ train: all, ...evaluated, notes: [note] });
  }
  if (!train) throw new FailureError(`${path}: no row is for training; say train in the column of the parts`);
  return dataset(
    assemble({ train, validation, test }, { place: path, folder, validation: 'val', test: 'test' }, options),
  );
}

/** The targets that weights or a run were made for. */
function evaluated({ known }: DatasetOptions): readonly string[] | undefined {
  return known?.classNames;
}

/** The files as they are found. @throws FailureError naming the first that are missing, and how many are */
function findFiles(rows: readonly TableRow[], path: string, folder: string): Entry[] {
  const missing: TableRow[] = [];
  const entries: Entry[] = [];
  for (const row of rows) {
    const found = findFile(row.file, folder);
    if (found === undefined) missing.push(row);
    else entries.push({ ...row, path: found });
  }
  if (missing.length > 0) {
    const names = missing.slice(0, named).map(({ file, line }) => `\n  line ${line}: ${file}`);
    const more = missing.length > named ? `\n  … and ${missing.length - named} more` : '';
    throw new FailureError(
      `${path}: ${missing.length} of ${rows.length} files are not there:${names.join('')}${more}\nnames are relative to ${folder}; correct them or remove the rows`,
    );
  }
  return entries;
}

/** A file by its name, as Windows writes it too, or without the ending of an image. */
function findFile(name: string, folder: string): string | undefined {
  for (const file of new Set([name, name.replaceAll('\\', '/')])) {
    const path = isAbsolute(file) ? file : join(folder, file);
    const endings = imageName.test(extname(file))
      ? ['']
      : ['', '.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.avif'];
    const ending = endings.find((end) => existsSync(`${path}${end}`));
    if (ending !== undefined) return `${path}${ending}`;
  }
  return undefined;
}

/** Rows without those that say the same again. @throws FailureError for a file with two labels or two parts */
function unique(entries: readonly Entry[], path: string): { kept: Entry[]; notes: string[] } {
  const first = new Map<string, Entry>();
  const kept: Entry[] = [];
  for (const entry of entries) {
    const before = first.get(entry.path);
    if (before && (before.label !== entry.label || before.part !== entry.part)) {
      const [one, other] = before.label === entry.label ? [before.part, entry.part] : [before.label, entry.label];
      throw new FailureError(
        `${path}, line ${entry.line}: ${entry.file} is '${other}', in line ${before.line} it is '${one}'; images of one label each are read, in one part: keep one row`,
      );
    }
    if (before) continue;
    first.set(entry.path, entry);
    kept.push(entry);
  }
  const repeated = entries.length - kept.length;
  return { kept, notes: repeated > 0 ? [`${path}: ${repeated} rows say again what another says`] : [] };
}

/** The classes, in the order of their labels. @throws FailureError for labels that the weights don't know */
function namesOf(
  { kept }: { readonly kept: readonly Entry[] },
  path: string,
  { known, parts }: DatasetOptions,
): string[] {
  const names = [...new Set(kept.map(({ label }) => label))].sort();
  const evaluating = parts === 'test';
  if (evaluating && known?.classNames) {
    const trained = new Set(known.classNames);
    const unknown = names.filter((name) => !trained.has(name));
    if (unknown.length === 0) return [...known.classNames];
    throw new FailureError(
      `${path}: the label ${listed(unknown)} is no class that the weights were trained on (${listed(known.classNames)}); correct the labels`,
    );
  }
  if (!names.every((name) => /^\d{1,9}$/.test(name))) return names;
  const numbers = names.map(Number).sort((a, b) => a - b);
  // Weights from elsewhere have numbers only, and a table may not name all of them.
  const most = numbers.at(-1) ?? 0;
  if (evaluating && new Set(numbers).size === names.length && most < 2 ** 16) {
    return Array.from({ length: most + 1 }, (_, label) => names.find((name) => Number(name) === label) ?? `${label}`);
  }
  return names.sort((a, b) => Number(a) - Number(b));
}
