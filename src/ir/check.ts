/**
 * @file Checks of what callers give: that options exist and values are of the right kind. What is wrong is told with what would
 * be right, and with the nearest name where one is near. Ranges are checked where they are known.
 */

import { RequestError } from './errors.js';

/** What a value may be. */
export interface Kind {
  /** Completes "it must be …". */
  readonly expects: string;
  readonly accepts: (value: unknown) => boolean;
  /** Words that are accepted, for a hint at the nearest. */
  readonly words?: readonly string[];
  /** Whether it may not be left out. */
  readonly required?: true;
}

/** A kind for each option, complete by type: what may not be left out is marked by `must`. */
export type Kinds<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? Kind : Kind & { readonly required: true };
};

export const aText: Kind = { expects: 'text', accepts: (value) => typeof value === 'string' };
export const aName: Kind = {
  expects: 'text that is not empty',
  accepts: (value) => typeof value === 'string' && value !== '',
};
/** Where a file or folder is. */
export const aPath: Kind = { ...aName, expects: 'a path, as text' };
export const aFlag: Kind = { expects: 'true or false', accepts: (value) => typeof value === 'boolean' };
export const aNumber: Kind = { expects: 'a number', accepts: (value) => typeof value === 'number' };
export const aFunction: Kind = { expects: 'a function', accepts: (value) => typeof value === 'function' };
export const anObject: Kind = {
  expects: 'an object',
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
};

export const anArray: Kind = { expects: 'a list of numbers', accepts: Array.isArray };

/** A whole number from `least` to `most`. */
export function aCount(least: number, most = Number.MAX_SAFE_INTEGER): Kind {
  const limit = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  return {
    expects: `a whole number ${limit}`,
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  };
}

/** What seeds a generator of random numbers. */
export const aSeed = aCount(0, 2 ** 32 - 1);

export function oneOf(...words: readonly string[]): Kind {
  return { expects: listWords(words), accepts: (value) => words.includes(value as string), words };
}

export function listOf(kind: Kind): Kind {
  return {
    expects: `a list, each entry ${kind.expects}`,
    accepts: (value) => Array.isArray(value) && value.every(kind.accepts),
  };
}

export function either(first: Kind, second: Kind): Kind {
  return {
    expects: `${first.expects}, or ${second.expects}`,
    accepts: (value) => first.accepts(value) || second.accepts(value),
    words: [...(first.words ?? []), ...(second.words ?? [])],
  };
}

export function must(kind: Kind): Kind & { readonly required: true } {
  return { ...kind, required: true };
}

/**
 * Options as they are meant: those that are undefined count as left out.
 * @param what names the function or layer in errors
 * @throws RequestError for an option that there isn't, one that is missing, or a value of another kind
 */
export function checkOptions<T extends object>(what: string, given: T, kinds: Kinds<T>): T {
  const names = Object.keys(kinds);
  if (!anObject.accepts(given)) {
    throw new RequestError(`${what}: the options are ${show(given)}; give an object with ${names.join(', ')}`);
  }
  checkNames(what, given, names);
  return checkFields(what, given, kinds);
}

/**
 * The fields of something that a caller made, which may have others of its own: a network, a batch.
 * @throws RequestError for a field that is missing or a value of another kind
 */
export function checkFields<T extends object>(what: string, given: T, kinds: Kinds<T>): T {
  const checked: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries<Kind>(kinds)) {
    const value = given[name as keyof T] as unknown;
    if (value !== undefined || kind.required) checkValue(`${what}: ${name}`, value, kind);
    if (value !== undefined) checked[name] = value;
  }
  return checked as T;
}

/** @throws RequestError for a name in `given` that isn't one of `names` */
export function checkNames(what: string, given: object, names: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    throw new RequestError(`${what}: there is no option ${name}${hint(name, names)}; it takes ${names.join(', ')}`);
  }
}

/** @throws RequestError when a value is of another kind */
export function checkValue(what: string, value: unknown, kind: Kind): void {
  if (kind.accepts(value)) return;
  const near = typeof value === 'string' ? hint(value, kind.words ?? []) : '';
  const isMissing = value === undefined ? 'missing' : show(value);
  throw new RequestError(`${what} is ${isMissing}${near}; it must be ${kind.expects}`);
}

/** A value in few words. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) {
    return value.length <= 8 ? `[${value.map(show).join(', ')}]` : `a list of ${value.length}`;
  }
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  if (ArrayBuffer.isView(value)) return `a ${String(name)}`;
  return typeof name === 'string' && name !== 'Object' && name !== '' ? `a ${name}` : 'an object';
}

/** `a, b or c` */
function listWords(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function hint(given: string, known: readonly string[]): string {
  const near = nearest(given, known);
  return near === undefined ? '' : ` (did you mean ${near}?)`;
}

/** The known name that takes the fewest changes, where they are few. */
function nearest(given: string, known: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly changes: number } | undefined;
  for (const name of known) {
    const changes = distance(given.toLowerCase(), name.toLowerCase());
    if (changes <= Math.floor(name.length / 4) && changes < (best?.changes ?? Number.POSITIVE_INFINITY)) {
      best = { name, changes };
    }
  }
  return best?.name;
}

/** Letters to insert, leave out or replace (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1];
    for (let at = 0; at < b.length; at++) {
      const replaced = (row[at] ?? 0) + (letter === b[at] ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
