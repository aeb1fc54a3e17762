/**
 * @file What one may choose, declared once: a group of choices is a table from which flags, help, the check of what a
 * program gives, the schema of what a file holds, and a report's words come.
 */

import { z } from 'zod';
import {
  aCount,
  aFlag,
  aNumber,
  anArray,
  aSeed,
  type Kind,
  oneOf as oneOfKind,
  RequestError,
  show,
} from './ir/index.js';

/** One thing that may be chosen. */
export interface Choice<T> {
  /** What it is, for messages and reports: `the growth rate is 0`. */
  readonly name: string;
  /** The flag, as commander takes it: `--growth-rate <n>`, `--nesterov`, `--no-decay-norm-bias`. */
  readonly flag: string;
  readonly help: string;
  /** Help of the flag's negation, where it has one beside itself. */
  readonly negation?: string;
  /** How the flag's text is read. */
  readonly text: TextForm;
  /** Accepts what is allowed; its messages name the value and the limit. */
  readonly schema: z.ZodType<T>;
}

/** What a flag's text is: nothing (a switch), a number, a name of several, … */
export type TextForm =
  | { readonly kind: 'switch' }
  | { readonly kind: 'number' | 'number-or-none' | 'pair' | 'counts' | 'numbers' | 'seed' | 'extents' }
  | { readonly kind: 'count'; readonly least: number }
  | { readonly kind: 'name'; readonly names: readonly string[] };

/** A group of choices by the names that programs and files give them. */
export type Choices = Readonly<Record<string, Choice<unknown>>>;

type ValueOf<C> = C extends Choice<infer T> ? T : never;

/** What was chosen of a group. */
export type Chosen<C extends Choices> = {
  readonly [K in keyof C as undefined extends ValueOf<C[K]> ? never : K]: ValueOf<C[K]>;
} & {
  readonly [K in keyof C as undefined extends ValueOf<C[K]> ? K : never]?: ValueOf<C[K]>;
};

/** What every kind of choice is declared by. */
type Declaration = Omit<Choice<unknown>, 'text' | 'schema'>;

/** A whole number of at least `least`. */
export function count(declaration: Declaration, least = 1): Choice<number> {
  const range = `a whole number, at least ${least}`;
  const schema = numberWhere(declaration.name, range, (value) => Number.isSafeInteger(value) && value >= least);
  return { ...declaration, text: { kind: 'count', least }, schema };
}

/** The extent of an image; its flag may give height and width at once. */
export function extents(declaration: Declaration): Choice<number> {
  return { ...count(declaration), text: { kind: 'extents' } };
}

/** A number. @param range what it must be, in words */
export function number(declaration: Declaration, range: string, fits: (value: number) => boolean): Choice<number> {
  return { ...declaration, text: { kind: 'number' }, schema: numberWhere(declaration.name, range, fits) };
}

/** A number that may be left open; its flag says so by the word none, which a run that goes on without it takes. */
export function numberOrNone(
  declaration: Declaration,
  range: string,
  fits: (value: number) => boolean,
): Choice<number | undefined> {
  return { ...optional(number(declaration, range, fits)), text: { kind: 'number-or-none' } };
}

/** A seed of random numbers. */
export function seed(declaration: Declaration): Choice<number> {
  const range = 'a whole number from 0 to 4294967295';
  const fits = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  return { ...declaration, text: { kind: 'seed' }, schema: numberWhere(declaration.name, range, fits) };
}

/** Whole numbers of at least 1, as many as one likes but one at least. @param one the name of each */
export function counts(declaration: Declaration, one: string): Choice<readonly number[]> {
  const error = wrong(declaration.name, 'a list of whole numbers');
  const schema = z.array(z.number({ error }), { error }).check(({ value, issues }) => {
    const at = value.findIndex((entry) => !(Number.isSafeInteger(entry) && entry >= 1));
    if (value.length === 0) issues.push(issue(value, `the ${declaration.name} is empty; give at least one number`));
    if (at < 0) return;
    issues.push(issue(value, `the ${one} ${at + 1} is ${value[at]}; it must be a whole number, at least 1`));
  });
  return { ...declaration, text: { kind: 'counts' }, schema };
}

/**
 * Numbers, one at least; the flag's text may also be a word or a file that stands for them.
 * @param one the name of each; `range` what each must be, in words
 */
export function numbers(
  declaration: Declaration,
  one: string,
  range: string,
  fits: (value: number) => boolean,
): Choice<readonly number[]> {
  const error = wrong(declaration.name, 'a list of numbers');
  const schema = z.array(z.number({ error }), { error }).check(({ value, issues }) => {
    const at = value.findIndex((entry) => !(Number.isFinite(entry) && fits(entry)));
    if (value.length === 0) issues.push(issue(value, `the ${declaration.name} are none; give at least one number`));
    if (at >= 0) issues.push(issue(value, `the ${one} ${at} is ${value[at]}; it must be ${range}`));
  });
  return { ...declaration, text: { kind: 'numbers' }, schema };
}

/** Two numbers. @param one the name of each; `range` what both must be, in words */
export function pair(
  declaration: Declaration,
  one: string,
  range: string,
  fits: (value: number) => boolean,
): Choice<readonly [number, number]> {
  const error = wrong(declaration.name, 'a list of two numbers');
  const schema = z.tuple([z.number({ error }), z.number({ error })], { error }).check(({ value, issues }) => {
    const misfit = value.find((entry) => !fits(entry));
    if (misfit !== undefined) issues.push(issue(value, `a ${one} is ${misfit}; both must be ${range}`));
  });
  return { ...declaration, text: { kind: 'pair' }, schema };
}

/** Yes or no. */
export function onOff(declaration: Declaration): Choice<boolean> {
  return {
    ...declaration,
    text: { kind: 'switch' },
    schema: z.boolean({ error: wrong(declaration.name, 'true or false') }),
  };
}

/** One of several names. */
export function oneOf<const N extends string>(declaration: Declaration, names: readonly N[]): Choice<N> {
  const error = ({ input }: { input?: unknown }): string =>
    `there is no ${declaration.name} ${input}; choose one of ${names.join(', ')}`;
  return { ...declaration, text: { kind: 'name', names }, schema: z.enum(names, { error }) as z.ZodType<N> };
}

/** A choice that may be left open. */
export function optional<T>(choice: Choice<T>): Choice<T | undefined> {
  return { ...choice, schema: choice.schema.optional() as z.ZodType<T | undefined> };
}

/** The fields of a schema for what was chosen of a group. */
export function fieldsOf<C extends Choices>(choices: C): { [K in keyof C]: C[K]['schema'] } {
  const fields = Object.entries(choices).map(([key, { schema }]) => [key, schema]);
  return Object.fromEntries(fields) as { [K in keyof C]: C[K]['schema'] };
}

/** What a program may give of a group, for the check of names and kinds; ranges are the schemas' to check. */
export function kindsOf<C extends Choices>(choices: C): { readonly [K in keyof C]: Kind } {
  const kinds = Object.entries(choices).map(([key, { text }]) => [key, kindOf(text)]);
  return Object.fromEntries(kinds) as { [K in keyof C]: Kind };
}

function kindOf(text: TextForm): Kind {
  switch (text.kind) {
    case 'switch':
      return aFlag;
    case 'count':
    case 'extents':
      return aCount(text.kind === 'count' ? text.least : 1);
    case 'number':
    case 'number-or-none':
      return aNumber;
    case 'seed':
      return aSeed;
    case 'name':
      return oneOfKind(...text.names);
    case 'pair':
    case 'counts':
    case 'numbers':
      return anArray;
  }
}

/** A value that a schema accepts. @throws RequestError with what is wrong otherwise */
export function accepted<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new RequestError(parsed.error.issues[0]?.message ?? 'this is not to be chosen');
}

/** What is given of an object: without what is undefined. */
export function given<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function numberWhere(name: string, range: string, fits: (value: number) => boolean): z.ZodType<number> {
  const error = wrong(name, range);
  return z.number({ error }).refine(fits, { error });
}

/** What is said of a value that is none of the kind. */
function wrong(name: string, range: string): ({ input }: { input?: unknown }) => string {
  return ({ input }) => `the ${name} is ${show(input)}; it must be ${range}`;
}

function issue(input: unknown, message: string): { code: 'custom'; input: unknown; message: string } {
  return { code: 'custom', input, message };
}
