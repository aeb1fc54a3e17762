/**
 * @file npm run bench:live-peak: predicted live bytes of a step over the depth, without running anything. Writes the
 * table into docs/performance.md and the plot beside it.
 */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { note, printJson } from '../cli/output.js';
import { wholeNumber, wholeNumbers } from '../cli/parse.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { renderLivePeaks } from './live-peak-plot.js';
import { livePeaks } from './live-peaks.js';
import { livePeakTable, replaceSection } from './markdown.js';

const root = import.meta.url.endsWith('.ts') ? '../' : '../../';
const inDocs = (file: string): string => fileURLToPath(new URL(`${root}docs/${file}`, import.meta.url));

const program = new Command('bench:live-peak')
  .description(
    'Predict the live peak of a step at several depths and write docs/performance.md and docs/live-peak.svg.',
  )
  .addOption(
    new Option('--depths <a,b,c>', 'depths of DenseNet-BC, k 12')
      .argParser(wholeNumbers)
      .default([40, 100, 160, 220, 280, 340]),
  )
  .addOption(new Option('--batch-size <n>', 'images a step').argParser(wholeNumber(1)).default(64))
  .option('--json', 'print the figures as JSON and write no file')
  .action(async ({ depths, batchSize, json }: { depths: number[]; batchSize: number; json?: boolean }) => {
    const peaks = livePeaks(depths, batchSize, ({ depth, remat, bytes, seconds }) =>
      note(`depth ${depth}, ${remat}: ${(bytes / 1e6).toFixed(1)} MB, compiled and planned in ${seconds.toFixed(1)} s`),
    );
    if (json) {
      printJson({ batchSize, peaks });
      return;
    }
    const page = inDocs('performance.md');
    const text = replaceSection(await readFile(page, 'utf8'), 'live-peak', livePeakTable(peaks, batchSize));
    await writeFileAtomic(page, text);
    await writeFileAtomic(inDocs('live-peak.svg'), renderLivePeaks(peaks, batchSize));
    note('wrote docs/performance.md and docs/live-peak.svg');
  });

await program.parseAsync();
