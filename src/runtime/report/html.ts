/** @file The report of a run: one HTML page that needs neither network nor scripts. */

import { type Task, tasks } from '../../step/tasks.js';
import type { MemoryForecast } from '../measure/forecast.js';
import { figureWords, namedOutputs, scores } from '../model/metrics/index.js';
import { renderClasses } from './classes.js';
import { renderPanels } from './curves.js';
import type { EpochRecord, History } from './history.js';
import { renderMemory } from './memory.js';
import { pageHead } from './page-head.js';
import { style } from './style.js';
import {
  capitalized,
  escapeText,
  formatError,
  formatFigure,
  formatLoss,
  formatMegabytes,
  formatRate,
  formatSeconds,
} from './text.js';

/** What a report says. */
export interface ReportContent {
  readonly title: string;
  /** How many epochs the run is to have. */
  readonly epochs: number;
  readonly history: History;
  /** The memory of a step, where it could be planned. */
  readonly forecast?: MemoryForecast | undefined;
  /** Names and values, in the order to show them. */
  readonly configuration: readonly (readonly [string, string])[];
}

/** The table of epochs shows this many; the others are folded away. */
const visibleEpochs = 20;

/** Renders the report. The same content gives the same bytes. */
export function renderReport({ title, epochs, history, configuration, forecast }: ReportContent): string {
  return `${pageHead(title, style)}
${keyFigures(history, epochs)}
<div class="curves">
${renderPanels(history)
  .map((svg) => `<figure>${svg}</figure>`)
  .join('\n')}
</div>
${history.test?.confusion ? renderClasses(history.test.confusion, history.names) : ''}${memorySection(forecast)}<h2>Epochs</h2>
${epochSection(history)}${outputSection(history)}
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

function keyFigures({ epochs, test, task = 'classes' }: History, planned: number): string {
  const best = bestEpoch(epochs, task);
  const { error } = tasks[task];
  const area = best?.validMetrics?.meanAuc;
  const seconds = epochs.reduce((sum, record) => sum + record.seconds, 0);
  const last = epochs.at(-1);
  const figures = [
    ['Epochs', `${epochs.length} of ${planned}`],
    ['Training loss', formatLoss(last?.trainLoss)],
    [`Training ${error}`, formatError(task, last?.trainError)],
    area === undefined
      ? [`Best validation ${error}`, best ? `${formatError(task, best.validError)} (epoch ${best.epoch})` : '–']
      : ['Best validation mean AUC', `${formatLoss(area)} (epoch ${best?.epoch})`],
    [`Final test ${error}`, formatError(task, test?.error)],
    ...testFigures(test?.metrics?.summary ?? {}),
    ['Time in steps', formatSeconds(seconds)],
  ];
  const entries = figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`);
  return `<dl class="figures">${entries.join('')}</dl>`;
}

/** What a test measured beside loss and error, which for a regression is among it. */
function testFigures(summary: Readonly<Record<string, number>>): (readonly [string, string])[] {
  const { mae: _, ...others } = summary;
  return Object.entries(others).map(([name, value]) => [
    `Final test ${figureWords[name]?.name ?? name}`,
    formatFigure(name, value),
  ]);
}

/** The test's figures of each label or value, where there are several. */
function outputSection({ test, names, task = 'classes' }: History): string {
  const outputs = test?.metrics?.outputs;
  if (!outputs) return '';
  const figures = namedOutputs(outputs, names);
  const columns = Object.keys(figures[0] ?? {});
  const head = columns.map((name) => `<th scope="col">${capitalized(figureWords[name]?.name ?? name)}</th>`);
  const rows = figures.map((each) => {
    const cells = columns.map((name) => `<td>${escapeText(formatFigure(name, each[name]))}</td>`);
    return `<tr>${cells.join('')}</tr>`;
  });
  return `\n<h2>Test, by ${task.slice(0, -1)}</h2>\n<div class="scroll"><table class="epochs">\n<thead><tr>${head.join('')}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table></div>`;
}

/** The first epoch with the best validation, by what the best weights are chosen by. */
function bestEpoch(epochs: readonly EpochRecord[], task: Task): EpochRecord | undefined {
  const error = ({ validLoss, validError, validMetrics: summary }: EpochRecord): number =>
    validLoss === undefined || validError === undefined
      ? Number.NaN
      : scores[task].of({ loss: validLoss, error: validError, summary });
  return epochs
    .filter((record) => Number.isFinite(error(record)))
    .reduce<EpochRecord | undefined>(
      (best, record) => (best && error(best) <= error(record) ? best : record),
      undefined,
    );
}

/** The last epochs in sight, and where there are more, all of them folded. */
function epochSection({ epochs, task = 'classes' }: History): string {
  if (epochs.length === 0) return '<p>No epoch yet.</p>';
  if (epochs.length <= visibleEpochs) return epochTable(epochs, task);
  const all = `<details>\n<summary>All ${epochs.length} epochs</summary>\n${epochTable(epochs, task)}\n</details>`;
  return `<p>The last ${visibleEpochs}:</p>\n${epochTable(epochs.slice(-visibleEpochs), task)}\n${all}`;
}

function epochTable(epochs: readonly EpochRecord[], task: Task): string {
  const { error } = tasks[task];
  const columns = [
    'Epoch',
    'Train loss',
    `Train ${error}`,
    'Validation loss',
    `Validation ${error}`,
    'Learning rate',
    'Time',
  ];
  const head = columns.map((column) => `<th scope="col">${column}</th>`).join('');
  const rows = epochs.map((record) => {
    const cells = [
      String(record.epoch),
      formatLoss(record.trainLoss),
      formatError(task, record.trainError),
      formatLoss(record.validLoss),
      formatError(task, record.validError),
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
