/** @file The report of a run: one HTML page that needs neither network nor scripts. */

import type { MemoryForecast } from '../measure/forecast.js';
import { renderClasses } from './classes.js';
import { renderPanels } from './curves.js';
import type { EpochRecord, History } from './history.js';
import { renderMemory } from './memory.js';
import { style } from './style.js';
import { escapeText, formatLoss, formatMegabytes, formatPercent, formatRate, formatSeconds } from './text.js';

/** What a report says. */
export interface ReportContent {
  readonly title: string;
  /** How many epochs the run is to have. */
  readonly epochs: number;
  readonly history: History;
  /** The memory of a step, where it could be planned. */
  readonly forecast?: MemoryForecast | undefined;
  readonly classNames?: readonly string[] | undefined;
  /** Names and values, in the order to show them. */
  readonly configuration: readonly (readonly [string, string])[];
}

/** The table of epochs shows this many; the others are folded away. */
const visibleEpochs = 20;

/** Renders the report. The same content gives the same bytes. */
export function renderReport({ title, epochs, history, configuration, forecast, classNames }: ReportContent): string {
  const heading = escapeText(title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${heading}</title>
<style>
${style}
</style>
</head>
<body>
<main>
<h1>${heading}</h1>
${keyFigures(history, epochs)}
<div class="curves">
${renderPanels(history)
  .map((svg) => `<figure>${svg}</figure>`)
  .join('\n')}
</div>
${history.test?.confusion ? renderClasses(history.test.confusion, classNames) : ''}${memorySection(forecast)}<h2>Epochs</h2>
${epochSection(history.epochs)}
<h2>Configuration</h2>
${configurationTable(configuration)}
</main>
</body>
</html>
`;
}

/** Why there is no picture is told where the run begins. */
function memorySection(forecast: MemoryForecast | undefined): string {
  if (!forecast) return '';
  const { livePeakBytes, processBytes, dataBytes, peakAt } = forecast;
  const caption = `By the plan, at most ${formatMegabytes(livePeakBytes)} are alive at once, at the node ${peakAt}. The process grows by about ${formatMegabytes(processBytes)}: the runtime keeps more than is alive, the evaluation takes some, and ${formatMegabytes(dataBytes)} are for preparing batches.`;
  return `<h2>Memory</h2>\n<figure class="wide">${renderMemory(forecast)}</figure>\n<p class="caption">${escapeText(caption)}</p>\n`;
}

function keyFigures({ epochs, test }: History, planned: number): string {
  const best = bestEpoch(epochs);
  const seconds = epochs.reduce((sum, record) => sum + record.seconds, 0);
  const last = epochs.at(-1);
  const figures = [
    ['Epochs', `${epochs.length} of ${planned}`],
    ['Training loss', formatLoss(last?.trainLoss)],
    ['Training error', formatPercent(last?.trainError)],
    ['Best validation error', best ? `${formatPercent(best.validError)} (epoch ${best.epoch})` : '–'],
    ['Final test error', formatPercent(test?.error)],
    ['Time in steps', formatSeconds(seconds)],
  ];
  const entries = figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`);
  return `<dl class="figures">${entries.join('')}</dl>`;
}

/** The first epoch with the least validation error. */
function bestEpoch(epochs: readonly EpochRecord[]): EpochRecord | undefined {
  const error = ({ validError }: EpochRecord): number => validError ?? Number.NaN;
  return epochs
    .filter((record) => Number.isFinite(error(record)))
    .reduce<EpochRecord | undefined>(
      (best, record) => (best && error(best) <= error(record) ? best : record),
      undefined,
    );
}

/** The last epochs in sight, and where there are more, all of them folded. */
function epochSection(epochs: readonly EpochRecord[]): string {
  if (epochs.length === 0) return '<p>No epoch yet.</p>';
  if (epochs.length <= visibleEpochs) return epochTable(epochs);
  const all = `<details>\n<summary>All ${epochs.length} epochs</summary>\n${epochTable(epochs)}\n</details>`;
  return `<p>The last ${visibleEpochs}:</p>\n${epochTable(epochs.slice(-visibleEpochs))}\n${all}`;
}

function epochTable(epochs: readonly EpochRecord[]): string {
  const columns = [
    'Epoch',
    'Train loss',
    'Train error',
    'Validation loss',
    'Validation error',
    'Learning rate',
    'Time',
  ];
  const head = columns.map((column) => `<th scope="col">${column}</th>`).join('');
  const rows = epochs.map((record) => {
    const cells = [
      String(record.epoch),
      formatLoss(record.trainLoss),
      formatPercent(record.trainError),
      formatLoss(record.validLoss),
      formatPercent(record.validError),
      formatRate(record.learningRate),
      formatSeconds(record.seconds),
    ];
    return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  return `<div class="scroll"><table class="epochs">\n<thead><tr>${head}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table></div>`;
}

function configurationTable(configuration: ReportContent['configuration']): string {
  const rows = configuration.map(
    ([name, value]) => `<tr><th scope="row">${escapeText(name)}</th><td>${escapeText(value)}</td></tr>`,
  );
  return `<table class="configuration">\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table>`;
}
