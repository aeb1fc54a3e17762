/** @file Labels and values in a table: which columns they are in, or which labels one column lists. */

import { FailureError, RequestError } from '../../ir/errors.js';
import type { Task } from '../../step/tasks.js';
import { listed } from './file-parts.js';

/** A row, as it is written. */
interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

/** The columns that are known by their names. */
interface Known {
  readonly file: number;
  readonly part: number | undefined;
  readonly label: number | undefined;
}

/** The targets of a table. */
interface FoundTargets {
  readonly names: readonly string[];
  /** The columns that they come from. */
  readonly columns: readonly number[];
  /** A row's. @throws FailureError naming line and cell */
  rowOf(row: Row): number[];
}

/** What a table is asked for. */
interface Wanted {
  readonly task: Exclude<Task, 'classes'>;
  readonly names?: readonly string[] | undefined;
}

/** Words for having none of the labels. */
const none = ['', 'no finding', 'none', 'nofinding'];

/**
 * Finds labels or values: the columns that are asked for; else the one that is called label, target or the like; else,
 * of the others, all that hold numbers (of labels, 0 and 1 only). A column of labels that holds words lists the
 * labels that an image has, as in `Mass|Nodule`.
 * @throws RequestError for columns that there aren't; FailureError when it can't be told which are meant
 */
export function findTargets(
  header: readonly string[],
  rows: readonly Row[],
  known: Known,
  { task, names }: Wanted,
  path: string,
): FoundTargets {
  const others = [...header.keys()].filter((at) => at !== known.file && at !== known.part);
  const isNumeric = (at: number): boolean => rows.every(({ cells }) => isOf[task](cells[at] ?? ''));
  const hasWords = (at: number): boolean =>
    rows.some(({ cells }) => cells[at] !== '' && !Number.isFinite(Number(cells[at] ?? '')));
  const asColumns = names?.map((name) => header.indexOf(name));
  if (names && asColumns?.every((at) => at >= 0)) {
    const [only] = asColumns;
    if (task === 'labels' && names.length === 1 && only !== undefined && hasWords(only)) {
      return lists(rows, only, undefined, path);
    }
    return numbers(header, asColumns, task, path);
  }
  const list = known.label ?? (others.length === 1 ? others[0] : undefined);
  if (task === 'labels' && list !== undefined && hasWords(list)) return lists(rows, list, names, path);
  if (names) {
    const missing = names.filter((name) => !header.includes(name));
    throw new RequestError(
      `${path} has no column ${listed(missing)}; its columns are ${listed(others.map((at) => header[at] as string))}`,
    );
  }
  if (known.label !== undefined) return numbers(header, [known.label], task, path);
  const found = others.filter(isNumeric);
  if (found.length === 0) {
    const kind = task === 'labels' ? '0 or 1' : 'numbers';
    throw new FailureError(
      `${path}: none of its other columns (${listed(others.map((at) => header[at] as string))}) holds ${kind} in every row; name those of the ${task} with --targets`,
    );
  }
  return numbers(header, found, task, path);
}

/** Whether a cell can be a target, where columns are looked for. */
const isOf: Readonly<Record<Wanted['task'], (cell: string) => boolean>> = {
  labels: (cell) => /^[01](\.0*)?$/.test(cell),
  values: (cell) => cell !== '' && Number.isFinite(Number(cell)),
};

/** A target in each column. */
function numbers(
  header: readonly string[],
  columns: readonly number[],
  task: Wanted['task'],
  path: string,
): FoundTargets {
  const names = columns.map((at) => header[at] as string);
  return {
    names,
    columns,
    rowOf: ({ cells, line }) =>
      columns.map((at, column) => {
        const cell = cells[at] ?? '';
        const value = cell === '' ? Number.NaN : Number(cell);
        if (Number.isFinite(value) && (task === 'values' || (value >= 0 && value <= 1))) return value;
        const range = task === 'labels' ? '0 (absent) or 1 (present)' : 'a number';
        throw new FailureError(
          `${path}, line ${line}: ${names[column]} is '${cell}'; it must be ${range}: correct the row or remove it`,
        );
      }),
  };
}

/** Labels that one column lists. @param known those there are, in their order; else all that occur, sorted */
function lists(rows: readonly Row[], column: number, known: readonly string[] | undefined, path: string): FoundTargets {
  const all = new Set(rows.flatMap(({ cells }) => labelsIn(cells[column] ?? '')));
  const names = known ?? [...all].sort();
  const unknown = [...all].filter((label) => !names.includes(label));
  if (unknown.length > 0) {
    throw new FailureError(
      `${path}: the label ${listed(unknown)} is none of those that are told (${listed(names)}); correct the labels`,
    );
  }
  if (names.length === 0) throw new FailureError(`${path}: no image has a label`);
  return {
    names,
    columns: [column],
    rowOf: ({ cells }) => {
      const present = new Set(labelsIn(cells[column] ?? ''));
      return names.map((name) => (present.has(name) ? 1 : 0));
    },
  };
}

/** The labels that a cell lists between bars, semicolons or commas, perhaps in brackets and quotes as Python prints them. */
function labelsIn(cell: string): string[] {
  return cell
    .replace(/^\[(.*)\]$/, '$1')
    .split(/[|;,]/)
    .map((label) => label.trim().replace(/^'(.*)'$/, '$1'))
    .filter((label) => !none.includes(label.toLowerCase()));
}
