/** @file Folders of image files, one folder a class: train/CLASS/*, val/CLASS/*, test/CLASS/*, or CLASS/* alone. */

import { basename, join, resolve } from 'node:path';
import { FailureError } from '../../ir/errors.js';
import { fileDataset } from './file-dataset.js';
import { assemble, type FileParts, fileSplit, forEvaluation, inTurn, listed, noFiles } from './file-parts.js';
import { findLayout, holdsClasses, holdsTest, type Layout, wholeOf } from './folder-layout.js';
import { type FolderScan, scanFolder } from './folder-scan.js';
import { imageLibrary } from './image-library.js';
import type { Dataset, DatasetFormat, DatasetOptions, FileSplit } from './types.js';

/** A folder with train/, val/ and test/, each with a folder of images for each class. */
export const imageFolderFormat: DatasetFormat = {
  lookedFor: 'an image folder: train/CLASS/* (JPEG, PNG, WebP, …), val/ and test/ likewise; or CLASS/* alone',
  find: (directory) => (findLayout(directory).train === undefined ? undefined : directory),
  load: loadImageFolder,
};

/** A folder with the classes themselves, or with validation or test images alone, where it holds nothing else. */
export const classFolderFormat: DatasetFormat = {
  lookedFor: imageFolderFormat.lookedFor,
  find: (directory) => (holdsTest(directory) || holdsClasses(directory) ? directory : undefined),
  load: loadImageFolder,
};

/** The images of a folder by their uses, with the classes' names and what people should know. */
interface Found extends FileParts {
  readonly classNames: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Loads the names of an image folder's files; the rest is `fileDataset`.
 * @throws FailureError when a class is empty, the folders' classes differ, or there is nothing to train on
 * @throws RequestError when a test share is asked for though there are test images
 */
async function loadImageFolder(directory: string, options: DatasetOptions): Promise<Dataset> {
  // Once, instead of for each of the images.
  imageLibrary();
  const layout = findLayout(directory, options.known?.rules);
  const found =
    options.parts === 'test'
      ? await testImages(directory, layout, options)
      : await allImages(directory, layout, options);
  const notes = [...found.notes, ...layout.unused.map((name) => `${join(directory, name)} is not used`)];
  const name = basename(resolve(directory));
  return fileDataset({ ...found, notes, name, place: directory, folder: directory }, options);
}

async function allImages(directory: string, layout: Layout, options: DatasetOptions): Promise<Found> {
  const { train: name, validation: validationName, test: testName } = layout;
  const { rules } = options.known ?? {};
  if (name === undefined && (validationName ?? testName) !== undefined) {
    throw new FailureError(
      `${directory}: there is a ${testName ?? validationName}/ but no train/ with a folder for each class; add the images to train on`,
    );
  }
  const part = name === undefined ? wholeOf(directory) : undefined;
  if (part) {
    throw new FailureError(
      `${directory} is one part of ${part.whole}, which has ${part.beside}/ too: give that folder, or move this one to train on it alone`,
    );
  }
  const scan = dropEmpty(await scanFolder(name === undefined ? directory : join(directory, name), rules));
  checkClasses(scan);
  const classNames = scan.classes.map((entry) => entry.name);
  const notes: string[] = [...scan.notes];
  const read = async (folder: string | undefined): Promise<FileSplit | undefined> => {
    if (folder === undefined) return undefined;
    const other = await scanFolder(join(directory, folder), rules);
    checkKnown(other, new Set(classNames), scan.folder);
    notes.push(...other.notes);
    return toSplit(other, classNames);
  };
  // Runs from before test/ and val/ were told apart never looked at the second.
  const validation = rules === 1 && testName !== undefined ? undefined : await read(validationName);
  const test = await read(testName);
  const given = { train: toSplit(scan, classNames), validation, test };
  const words = { place: directory, folder: scan.folder, validation: `${validationName}/`, test: `${testName}/` };
  const { notes: more, ...parts } = assemble(given, words, options);
  return { classNames, ...parts, notes: [...notes, ...more] };
}

/** What is evaluated: the test images, else the validation images, else the folder's classes. */
async function testImages(
  directory: string,
  { train: trainName, validation, test }: Layout,
  options: DatasetOptions,
): Promise<Found> {
  const { known } = options;
  const trained = trainName === undefined ? undefined : await scanFolder(join(directory, trainName), known?.rules);
  const scan = trained && dropEmpty(trained);
  if (scan) checkClasses(scan);
  const name = test ?? validation;
  const folder = name === undefined ? (scan?.folder ?? directory) : join(directory, name);
  const tested = name === undefined && scan ? scan : await scanFolder(folder, known?.rules);
  const classNames =
    scan?.classes.map((entry) => entry.name) ??
    known?.classNames ??
    dropEmpty(tested).classes.map((entry) => entry.name);
  checkKnown(tested, new Set(classNames), scan?.folder ?? 'what the weights were trained on');
  const all = toSplit(tested, classNames);
  if (all.count === 0) throw new FailureError(`${folder}: there are no images to evaluate in it`);
  const train = scan ? toSplit(scan, classNames) : noFiles;
  if (name !== undefined) return { classNames, train, test: all, notes: tested.notes };
  const { note, ...parts } = forEvaluation(all, folder, options);
  return { classNames, train: scan ? train : all, ...parts, notes: [...tested.notes, note] };
}

/** Leaves out folders in which there is nothing at all, and says so. */
function dropEmpty(scan: FolderScan): FolderScan {
  const isEmpty = ({ files, others }: FolderScan['classes'][number]): boolean => files.length === 0 && others === 0;
  const empty = scan.classes.filter(isEmpty).map(({ name }) => name);
  if (empty.length === 0) return scan;
  const note = `${scan.folder}: left out ${empty.length === 1 ? 'a class' : `${empty.length} classes`} without any file: ${listed(empty)}`;
  return { ...scan, classes: scan.classes.filter((entry) => !isEmpty(entry)), notes: [...scan.notes, note] };
}

/** @throws FailureError when a class has files but no images, or there is none */
function checkClasses({ classes, folder, notes }: FolderScan): void {
  const without = classes.filter(({ files }) => files.length === 0);
  if (without.length > 0) {
    const names = listed(without.map(({ name }) => name));
    const [first] = notes;
    throw new FailureError(
      `${folder}: no image that is read in the class ${names}${first ? ` (${first})` : ''}; add images or remove the folder`,
    );
  }
  if (classes.length === 0) throw new FailureError(`${folder}: there is no folder of images in it; make one a class`);
}

/** @throws FailureError when there are images of a class that is not known */
function checkKnown({ classes, folder }: FolderScan, known: ReadonlySet<string>, where: string): void {
  const unknown = classes.filter(({ name, files }) => files.length > 0 && !known.has(name));
  if (unknown.length === 0) return;
  const names = listed(unknown.map(({ name }) => name));
  throw new FailureError(`${folder}: the class ${names} is not in ${where}; classes are told by their names`);
}

/** Images of the classes that are known, the classes' files in turn. */
function toSplit(scan: FolderScan, classNames: readonly string[]): FileSplit {
  const labels = new Map(classNames.map((name, label) => [name, label]));
  const entries = scan.classes.flatMap(({ name, files }) =>
    files.map((file) => ({ file, label: labels.get(name) ?? 0 })),
  );
  return fileSplit(inTurn(entries));
}
