/** @file Errors by class and the most confused classes, as tables and as JSON. */

import { type Confusion, worstFirst } from '../src/runtime/model/metrics/confusion.js';
import { grouped, percent, printTable } from './output.js';

/** Classes that people are shown; of more, those with the largest errors. */
const shownClasses = 20;
const shownPairs = 10;

/** A matrix of more classes is left out of JSON, which has all pairs anyway. */
const matrixClasses = 100;

/** What `eval --json` tells of classes. */
export function confusionJson(confusion: Confusion, names: readonly string[] | undefined): object {
  const named = (label: number): object => (names?.[label] === undefined ? {} : { name: names[label] });
  return {
    classes: confusion.byClass().map((each) => ({ ...named(each.class), ...each })),
    confused: confusion.pairs(),
    ...(confusion.classes <= matrixClasses && { confusion: confusion.matrix() }),
  };
}

/** Shows errors by class, and which classes were taken for which. */
export function showClasses(confusion: Confusion, names: readonly string[] | undefined): void {
  const name = (label: number): string => names?.[label] ?? String(label);
  const all = confusion.byClass();
  const isSmall = all.length <= shownClasses;
  const classes = isSmall ? all : worstFirst(all).slice(0, shownClasses);
  process.stdout.write(isSmall ? '\n' : `\nThe ${classes.length} of ${all.length} classes with the largest errors:\n`);
  printTable(
    ['class', 'images', 'wrong', 'error'],
    classes.map(({ class: label, count, errors }) => [
      name(label),
      grouped(count),
      grouped(errors),
      count === 0 ? '–' : percent(errors / count),
    ]),
  );
  const pairs = confusion.pairs().slice(0, shownPairs);
  if (pairs.length === 0) return;
  process.stdout.write('\nMost confused:\n');
  printTable(
    ['class', 'taken for', 'images'],
    pairs.map(({ class: label, takenFor, count }) => [name(label), name(takenFor), grouped(count)]),
  );
}
