/** @file The report's section on classes: their errors, and the confusion matrix or, of many, the most confused pairs. */

import { type ClassError, type Confusion, worstFirst } from '../model/metrics/confusion.js';
import { escapeText, formatPercent } from './text.js';

/** A matrix of more classes is read by nobody. */
const matrixClasses = 30;

/** Rows in sight; the others are folded away, or left out of the pairs. */
const shown = 30;

/** Renders the section. @param names of the classes, where they have some */
export function renderClasses(confusion: Confusion, names: readonly string[] = []): string {
  const name = (label: number): string => escapeText(names[label] ?? String(label));
  const classes = confusion.byClass();
  const isSmall = confusion.classes <= matrixClasses;
  const figure = isSmall ? `<h3>Taken for</h3>\n${matrix(confusion, classes, name)}\n` : '';
  return `<h2>Test by class</h2>\n${errorSection(classes, isSmall, name)}\n${figure}${pairs(confusion, classes, isSmall, name)}`;
}

type Naming = (label: number) => string;

function errorSection(classes: readonly ClassError[], isSmall: boolean, name: Naming): string {
  if (isSmall) return errorTable(classes, name);
  const worst = worstFirst(classes);
  const all = `<details>\n<summary>All ${classes.length} classes</summary>\n${errorTable(classes, name)}\n</details>`;
  return `<p>The ${Math.min(shown, worst.length)} with the largest errors:</p>\n${errorTable(worst.slice(0, shown), name)}\n${all}`;
}

function errorTable(classes: readonly ClassError[], name: Naming): string {
  const rows = classes.map(({ class: label, count, errors }) => [
    name(label),
    String(count),
    String(errors),
    count === 0 ? '–' : formatPercent(errors / count),
  ]);
  return table(['Class', 'Images', 'Wrong', 'Error'], rows);
}

function pairs(confusion: Confusion, classes: readonly ClassError[], isSmall: boolean, name: Naming): string {
  const all = confusion.pairs();
  if (all.length === 0) return '<p>No class was taken for another.</p>\n';
  const most = all.slice(0, isSmall ? 10 : shown);
  const rows = most.map(({ class: label, takenFor, count }) => [
    name(label),
    name(takenFor),
    String(count),
    formatPercent(count / (classes[label]?.count ?? 0)),
  ]);
  const more = all.length > most.length ? `, of ${all.length} pairs` : '';
  return `<h3>Most confused${more}</h3>\n${table(['Class', 'Taken for', 'Images', 'Of the class'], rows)}\n`;
}

/** Rows are classes, columns what they were taken for; a cell is the darker the larger its share of the row. */
function matrix(confusion: Confusion, classes: readonly ClassError[], name: Naming): string {
  const head = classes.map(({ class: label }) => `<th scope="col"><span>${name(label)}</span></th>`).join('');
  const rows = classes.map(({ class: label, count }) => {
    const cells = classes.map(({ class: predicted }) => {
      const images = confusion.at(label, predicted);
      if (images === 0) return '<td></td>';
      const kind = label === predicted ? 'right' : 'wrong';
      const title = `${name(label)} taken for ${name(predicted)}: ${images} of ${count}`;
      return `<td class="${kind}" style="--share:${(images / count).toFixed(3)}" title="${title}">${images}</td>`;
    });
    return `<tr><th scope="row">${name(label)}</th>${cells.join('')}</tr>`;
  });
  return `<div class="scroll"><table class="confusion">\n<thead><tr><td></td>${head}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table></div>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[]): string => row.map((cell) => `<td>${cell}</td>`).join('');
  const columns = head.map((column) => `<th scope="col">${column}</th>`).join('');
  return `<div class="scroll"><table class="classes">\n<thead><tr>${columns}</tr></thead>\n<tbody>\n${rows.map((row) => `<tr>${cells(row)}</tr>`).join('\n')}\n</tbody>\n</table></div>`;
}
