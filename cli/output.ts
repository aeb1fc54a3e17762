/** @file Results on stdout, progress and warnings on stderr. */

export { megabytes } from '../src/runtime/measure/memory-advice.js';

import Table from 'cli-table3';
import pc from 'picocolors';

/** Writes one JSON document, or with many calls one a line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes a table of names and values for people. */
export function printFacts(facts: readonly (readonly [name: string, value: string | number])[]): void {
  const table = new Table({
    chars: borderless,
    style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [] },
  });
  for (const [name, value] of facts) table.push([pc.dim(name), typeof value === 'number' ? grouped(value) : value]);
  process.stdout.write(`${table.toString()}\n`);
}

/** Writes a table with a head; all columns but the first are numbers. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const colAligns = head.map((_, column): 'left' | 'right' => (column === 0 ? 'left' : 'right'));
  const table = new Table({ head: [...head], colAligns, chars: borderless, style: { head: [], border: [] } });
  for (const row of rows) table.push([...row]);
  process.stdout.write(`${table.toString()}\n`);
}

/** Writes a line for a check: green or red, and what was found. */
export function printCheck({ name, ok, detail }: { name: string; ok: boolean; detail: string }): void {
  process.stdout.write(`${ok ? pc.green('ok  ') : pc.red('FAIL')}  ${name.padEnd(26)}  ${detail}\n`);
}

let isSilent = false;

/** From here on, this process tells nothing but errors: of several, the first one speaks. */
export function silence(): void {
  isSilent = true;
}

/** Tells people what goes on. */
export function note(message: string): void {
  if (isSilent) return;
  process.stderr.write(`${message}\n`);
}

/** Tells people what they should look after. */
export function warn(message: string): void {
  note(`${pc.yellow('warning:')} ${message}`);
}

/** A number with its thousands apart. */
export function grouped(value: number): string {
  return value.toLocaleString('en-US');
}

/** A duration in milliseconds as `850 ms`, `12.3 s`, `4 min 05 s` or `2 h 03 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const pad = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${pad((seconds % 3600) / 60)} min`;
}

/** A fraction from 0 to 1 as a percentage. */
export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(2)} %`;
}

const borderless = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((name) => [name, '']),
);
