/** @file The table and the plot of live peaks. */

import { describe, expect, it } from 'vitest';
import { renderLivePeaks } from '../../bench/live-peak-plot.js';
import { livePeaks } from '../../bench/live-peaks.js';
import { livePeakTable, replaceSection } from '../../bench/markdown.js';

describe('live peaks', () => {
  const peaks = livePeaks([10, 16], 8);

  it('are predicted for each depth and policy, and grow with the batch', () => {
    expect(peaks.map(({ depth, remat }) => `${depth} ${remat}`)).toEqual([
      '10 none',
      '10 efficient',
      '10 max',
      '16 none',
      '16 efficient',
      '16 max',
    ]);
    const larger = livePeaks([10], 16);
    for (const [index, { bytes }] of larger.entries()) expect(bytes).toBeGreaterThan(peaks[index]?.bytes ?? 0);
    expect(peaks[3]?.bytes).toBeGreaterThan(peaks[4]?.bytes ?? 0);
  });

  it('refuse a depth that there is none of', () => {
    expect(() => livePeaks([41], 8)).toThrow(/40 and 46 are the nearest/);
  });

  it('become a table', () => {
    const figure = (depth: number, remat: 'none' | 'max', bytes: number) => ({
      depth,
      remat,
      bytes,
      nodes: 7,
      seconds: 1,
    });
    expect(livePeakTable([figure(40, 'none', 2.6e6), figure(40, 'max', 1e6)], 64)).toBe(
      [
        'Batch 64, growth rate 12, 32×32 images.',
        '',
        '| depth | `none` MB | `efficient` MB | `max` MB | `none` nodes | `efficient` nodes | `max` nodes |',
        '| ----: | --------: | -------------: | -------: | -----------: | ----------------: | ----------: |',
        '|    40 |         3 |              – |        1 |            7 |                 – |           7 |',
      ].join('\n'),
    );
  });

  it('become a plot with a line for each policy in the first panel, and without none in the second', () => {
    const svg = renderLivePeaks(peaks, 8);
    expect(svg).toMatch(/^<svg xmlns/);
    const count = (color: string): number => svg.split(`stroke="${color}"`).length - 1;
    // One in the legend, and one a panel.
    expect([count('#d55e00'), count('#0072b2'), count('#007a5a')]).toEqual([2, 3, 3]);
    expect(svg).not.toMatch(/NaN|undefined/);
  });
});

describe('replaceSection', () => {
  const page = 'before\n<!-- x:begin (by a script) -->\nold\n<!-- x:end -->\nafter';

  it('replaces what is between the marks, again and again', () => {
    const once = replaceSection(page, 'x', 'new $& 1');
    expect(once).toBe('before\n<!-- x:begin (by a script) -->\n\nnew $& 1\n\n<!-- x:end -->\nafter');
    expect(replaceSection(once, 'x', 'new $& 1')).toBe(once);
  });

  it('refuses a page without the marks', () => {
    expect(() => replaceSection(page, 'y', 'new')).toThrow(/no section/);
  });
});
