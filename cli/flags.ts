/** @file Flags from the tables of choices, and choices from flags. */

import { type Command, Option } from 'commander';
import type { Choice, Choices, Chosen, TextForm } from '../src/choices.js';
import {
  finiteNumber,
  imageExtents,
  numberOrNone,
  numbersOrName,
  pair,
  seed,
  wholeNumber,
  wholeNumbers,
} from './parse.js';

/** Adds a choice's flag, and that of its negation. @param fallback what goes where the flag isn't given, in words */
export function addChoice(command: Command, choice: Choice<unknown>, fallback?: string): Command {
  const { flag, help, negation, text } = choice;
  const suffix = fallback === undefined ? '' : ` (default: ${fallback})`;
  const option = new Option(flag, `${help}${suffix}`);
  if (text.kind === 'name') option.choices(text.names);
  else if (text.kind !== 'switch') option.argParser(parserOf(text));
  command.addOption(option);
  return negation === undefined ? command : command.addOption(new Option(flag.replace('--', '--no-'), negation));
}

/** Adds a group's flags. @param fallbacks what goes where a flag isn't given, in words */
export function addChoices<C extends Choices>(
  command: Command,
  choices: C,
  fallbacks: { readonly [K in keyof C]?: string },
): Command {
  for (const [key, choice] of Object.entries(choices)) addChoice(command, choice, fallbacks[key]);
  return command;
}

/** The name of a flag's value, as commander has it. */
export function attributeOf({ flag }: Pick<Choice<unknown>, 'flag'>): string {
  return new Option(flag).attributeName();
}

/** What flags say of a group; what no flag says is left out. */
export function chosen<C extends Choices>(choices: C, flags: object): Partial<Chosen<C>> {
  const values: Readonly<Record<string, unknown>> = { ...flags };
  const said = Object.entries(choices).map(([key, choice]) => [key, values[attributeOf(choice)]] as const);
  // Commander has read each value as its choice's form says.
  return Object.fromEntries(said.filter(([, value]) => value !== undefined)) as Partial<Chosen<C>>;
}

function parserOf(text: Exclude<TextForm, { kind: 'switch' | 'name' }>): (text: string) => unknown {
  switch (text.kind) {
    case 'count':
      return wholeNumber(text.least);
    case 'number':
      return finiteNumber;
    case 'number-or-none':
      return numberOrNone;
    case 'pair':
      return pair;
    case 'counts':
      return wholeNumbers;
    case 'numbers':
      return numbersOrName;
    case 'seed':
      return seed;
    case 'extents':
      return imageExtents;
  }
}
