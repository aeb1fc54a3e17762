/** @file Figures of evaluations, as tables for people. */

import { figureWords, type Metrics, type NamedFigures } from '../src/runtime/model/metrics/index.js';
import { formatFigure } from '../src/runtime/report/text.js';
import { printTable } from './output.js';

/** What an evaluation measured beside loss and error, by name. @param prefix of the names */
export function otherFigures(prefix: string, summary: Metrics['summary'] = {}): (readonly [string, string])[] {
  // A regression's error is its mean absolute error.
  const { mae: _, ...others } = summary;
  return Object.entries(others).map(([name, value]) => [
    `${prefix}${figureWords[name]?.name ?? name}`,
    formatFigure(name, value),
  ]);
}

/** A table of what was measured of each label or value. */
export function printOutputs(outputs: readonly NamedFigures[]): void {
  const columns = Object.keys(outputs[0] ?? {});
  const head = columns.map((name) => figureWords[name]?.name ?? name);
  process.stdout.write('\n');
  printTable(
    head.map((name) => (name === 'name' ? '' : name)),
    outputs.map((figures) => columns.map((name) => formatFigure(name, figures[name]))),
  );
}
