/** @file Reads a table of files and labels: which columns they are in, row by row. */

import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type CsvError, parse } from 'csv-parse/sync';
import { FailureError } from '../../ir/errors.js';
import type { Task } from '../../step/tasks.js';
import { readTextFile } from '../files/text-file.js';
import { findTargets } from './csv-targets.js';
import { listed } from './file-parts.js';
import { imageName } from './image-names.js';

/** Which columns hold labels or values, where the task is another than classes. */
export interface TargetColumns {
  readonly task: Exclude<Task, 'classes'>;
  /** Their names, or those of the labels that are listed in one column; found by names and contents unless told. */
  readonly names?: readonly string[] | undefined;
}

/** A row of a table. */
export interface TableRow {
  /** Counted from 1. */
  readonly line: number;
  readonly file: string;
  /** The class; of another task, all targets as they are written. */
  readonly label: string;
  readonly targets?: readonly number[] | undefined;
  /** What the row is for, where the table has a column for it. */
  readonly part?: string | undefined;
}

/** A table's rows, and what is not used of it. */
export interface Table {
  readonly rows: readonly TableRow[];
  /** The names of the targets, where the task is another than classes. */
  readonly targetNames?: readonly string[] | undefined;
  readonly notes: readonly string[];
}

/** Names of columns, in lower case without spaces, dashes and underscores; the first one that is there counts. */
const columnNames = {
  file: [
    'file',
    'filename',
    'filepath',
    'path',
    'image',
    'imagepath',
    'imagefile',
    'imagename',
    'img',
    'imageid',
    'imageindex',
    'id',
  ],
  label: [
    'label',
    'labels',
    'class',
    'classname',
    'category',
    'target',
    'species',
    'breed',
    'y',
    'findinglabels',
    'tags',
  ],
  part: ['split', 'set', 'subset', 'partition', 'part'],
} as const;

interface Columns {
  readonly file: number;
  readonly label: number;
  readonly part?: number | undefined;
  /** Whether the first row names them. */
  readonly named: boolean;
}

/** A row of a table, as it is written. */
export interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

/**
 * Reads a table of image files and labels, with or without names of columns, between commas, semicolons or tabs.
 * @param folder that names of files are relative to
 * @param targets what is read of it where the task is another than classes
 * @throws FailureError when it is no table, or it can't be told which columns are meant
 */
export async function readTable(path: string, folder: string, targets?: TargetColumns): Promise<Table> {
  const rows = parseRows(await readTextFile(path), path);
  const [first, second] = rows;
  if (!first) throw new FailureError(`${path} is empty; it must have a row for each image: file and label`);
  if (targets) return readTargets(rows, first.cells, targets, path, folder);
  const columns = findColumns(first.cells, second?.cells ?? first.cells, path, folder);
  const used = [columns.file, columns.label, columns.part];
  const unused = columns.named ? first.cells.filter((_, at) => !used.includes(at)) : [];
  return {
    rows: rows.slice(columns.named ? 1 : 0).map((row) => toRow(row, columns, path)),
    notes: unused.length > 0 ? [`${path}: columns that are not used: ${listed(unused)}`] : [],
  };
}

function parseRows(text: string, path: string): Row[] {
  try {
    const parsed = parse(text, {
      delimiter: delimiterOf(text),
      info: true,
      relaxColumnCount: true,
      skipEmptyLines: true,
      skipRecordsWithEmptyValues: true,
      trim: true,
    }) as unknown as { record: string[]; info: { lines: number } }[];
    return parsed.map(({ record, info }) => ({ cells: record, line: info.lines }));
  } catch (error) {
    const { message, lines } = error as CsvError & { readonly lines?: number };
    const place = lines === undefined ? '' : `, line ${lines}`;
    throw new FailureError(`${path}${place} can't be read as CSV: ${message}`, { cause: error });
  }
}

/** What separates the cells: the commonest of the candidates in the first line, outside of quotes. */
function delimiterOf(text: string): string {
  const line = (text.split(/\r|\n/, 1)[0] ?? '').replace(/"[^"]*"/g, '');
  const count = (candidate: string): number => line.split(candidate).length;
  return [',', '\t', ';'].reduce((best, candidate) => (count(candidate) > count(best) ? candidate : best));
}

/** A column by the names that it may have. */
function columnOf(first: readonly string[], kind: keyof typeof columnNames): number | undefined {
  const names = first.map((name) => name.toLowerCase().replace(/[\s_-]/g, ''));
  return columnNames[kind].map((name) => names.indexOf(name)).find((at) => at >= 0);
}

/** The cells of a row that name files. */
function fileCellsOf(row: readonly string[], folder: string): number[] {
  const isFile = (cell = ''): boolean =>
    imageName.test(cell) || (statSync(resolve(folder, cell), { throwIfNoEntry: false })?.isFile() ?? false);
  return [...row.keys()].filter((at) => row[at] !== '' && isFile(row[at]));
}

/** A table's rows where the task is another than classes. */
function readTargets(
  rows: readonly Row[],
  first: readonly string[],
  wanted: TargetColumns,
  path: string,
  folder: string,
): Table {
  const isNamed = fileCellsOf(first, folder).length === 0;
  const header = isNamed ? first : first.map((_, at) => `column ${at + 1}`);
  const body = isNamed ? rows.slice(1) : rows;
  const file = (isNamed ? columnOf(first, 'file') : undefined) ?? fileCellsOf(body[0]?.cells ?? [], folder)[0];
  if (file === undefined) {
    throw new FailureError(`${path}: no column names image files; call one 'file' in the first row`);
  }
  const part = isNamed ? columnOf(first, 'part') : undefined;
  const label = isNamed ? columnOf(first, 'label') : undefined;
  const { names, columns, rowOf } = findTargets(header, body, { file, part, label }, wanted, path);
  const unused = header.filter((_, at) => at !== file && at !== part && !columns.includes(at));
  return {
    targetNames: names,
    rows: body.map((row): TableRow => {
      const { cells, line } = row;
      const name = cells[file];
      if (!name) throw new FailureError(`${path}, line ${line}: the file is missing; complete the row or remove it`);
      const targets = rowOf(row);
      return {
        line,
        file: name,
        label: targets.join(' '),
        targets,
        ...(part !== undefined && { part: cells[part] ?? '' }),
      };
    }),
    notes: [
      `${path}: the ${wanted.task} are ${listed(names)}`,
      ...(unused.length > 0 ? [`${path}: columns that are not used: ${listed(unused)}`] : []),
    ],
  };
}

function findColumns(first: readonly string[], second: readonly string[], path: string, folder: string): Columns {
  const [file, label, part] = [columnOf(first, 'file'), columnOf(first, 'label'), columnOf(first, 'part')];
  const fileCells = (row: readonly string[]): number[] => fileCellsOf(row, folder);
  if (file !== undefined && label !== undefined) return { file, label, part, named: true };
  const named = fileCells(first).length === 0;
  if (first.length === 2) {
    const at = file ?? (label !== undefined ? 1 - label : fileCells(named ? second : first)[0]) ?? 0;
    return { file: at, label: 1 - at, named };
  }
  if (first.length < 2) {
    throw new FailureError(`${path}: a row has one column, '${first[0]}'; it must have a file and its label`);
  }
  throw new FailureError(
    named
      ? `${path}: which of its ${first.length} columns are meant (${listed(first)}) can't be told; name one file and one label, and one split if there is one (several labels a file go with --loss bce, numbers with --loss mse, l1 or huber)`
      : `${path}: its rows have ${first.length} columns and no names; keep file and label, or name the columns in the first row`,
  );
}

function toRow({ cells, line }: Row, columns: Columns, path: string): TableRow {
  const [file, label] = [cells[columns.file], cells[columns.label]];
  if (!file || !label) {
    throw new FailureError(
      `${path}, line ${line}: ${file ? 'the label' : 'the file'} is missing; complete the row or remove it`,
    );
  }
  if (/[|;]|^\[.*,.*\]$/.test(label)) {
    throw new FailureError(
      `${path}, line ${line}: '${label}' is several labels; images of one class each are told apart: keep one, give each combination a name, or train with --loss bce`,
    );
  }
  return { line, file, label, ...(columns.part !== undefined && { part: cells[columns.part] ?? '' }) };
}
