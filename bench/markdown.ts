/** @file Figures as Markdown, and the marked sections of a page that scripts write. */

import { FailureError } from '../src/ir/index.js';
import { type LivePeak, policies } from './live-peaks.js';

/** A table of live peaks: a line for each depth, columns for the policies. */
export function livePeakTable(peaks: readonly LivePeak[], batchSize: number): string {
  const depths = [...new Set(peaks.map(({ depth }) => depth))];
  const rows = depths.map((depth) => {
    const figures = policies.map((remat) => peaks.find((peak) => peak.depth === depth && peak.remat === remat));
    return [
      String(depth),
      ...figures.map((peak) => (peak ? megabytes(peak.bytes) : '–')),
      ...figures.map((peak) => (peak ? String(peak.nodes) : '–')),
    ];
  });
  const head = ['depth', ...policies.map((name) => `\`${name}\` MB`), ...policies.map((name) => `\`${name}\` nodes`)];
  return [`Batch ${batchSize}, growth rate 12, 32×32 images.`, '', ...table(head, rows)].join('\n');
}

/**
 * Replaces what stands between `<!-- name:begin … -->` and `<!-- name:end -->`.
 * @throws FailureError when the page has no such section
 */
export function replaceSection(page: string, name: string, content: string): string {
  const section = new RegExp(`(<!-- ${name}:begin[^>]*-->)[^]*?(<!-- ${name}:end -->)`);
  if (!section.test(page)) {
    throw new FailureError(`the page has no section between <!-- ${name}:begin --> and <!-- ${name}:end -->; add one`);
  }
  return page.replace(section, (_, begin: string, end: string) => `${begin}\n\n${content}\n\n${end}`);
}

/** Whole megabytes, of 10⁶ bytes, without the unit. */
export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** A table, its cells to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), `| ${widths.map((width) => `${'-'.repeat(width - 1)}:`).join(' | ')} |`, ...rows.map(line)];
}
