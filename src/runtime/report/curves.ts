/** @file The curves of a run: loss, error and learning rate over the epochs. */

import { tasks } from '../../step/tasks.js';
import type { EpochRecord, History } from './history.js';
import { type Panel, panelHeight, panelWidth, renderPanel, type Series, svgDocument } from './panel.js';
import { capitalized, formatError, formatLoss } from './text.js';

/** Told apart by colour-blind readers too, and dark enough on white. */
const colors = { train: '#0072b2', validation: '#d55e00', test: '#007a5a', learningRate: '#6a3d9a' } as const;

/** Loss and error side by side, as a standalone SVG file. */
export function renderCurves(history: History): string {
  const content = [lossPanel(history), errorPanel(history)].map(
    (panel, index) => `<g transform="translate(${index * panelWidth},0)">${renderPanel(panel)}</g>`,
  );
  return `${svgDocument('Loss and error by epoch', 2 * panelWidth, panelHeight, content.join(''))}\n`;
}

/** Loss, error, the area under the curve where it is measured, and learning rate, each an SVG document of its own. */
export function renderPanels(history: History): string[] {
  return [lossPanel(history), errorPanel(history), ...areaPanels(history), learningRatePanel(history)].map((panel) =>
    svgDocument(`${panel.title} by epoch`, panelWidth, panelHeight, renderPanel(panel)),
  );
}

function lossPanel({ epochs }: History): Panel {
  return {
    title: 'Loss',
    series: [
      curve('train', colors.train, epochs, ({ trainLoss }) => trainLoss),
      curve('validation', colors.validation, epochs, ({ validLoss }) => validLoss),
    ],
  };
}

function errorPanel({ epochs, test, task = 'classes' }: History): Panel {
  const { error, isShare } = tasks[task];
  const unit = isShare ? 100 : 1;
  return {
    title: `${capitalized(error)}${isShare ? ' (%)' : ''}`,
    series: [
      curve('train', colors.train, epochs, ({ trainError }) => unit * trainError),
      curve('validation', colors.validation, epochs, ({ validError }) => validError && unit * validError),
    ],
    level: test && { name: `test ${formatError(task, test.error)}`, color: colors.test, value: unit * test.error },
  };
}

/** The mean area under the curve of labels, where there is one. */
function areaPanels({ epochs, test }: History): Panel[] {
  if (!epochs.some(({ validMetrics }) => validMetrics?.meanAuc !== undefined)) return [];
  const value = test?.metrics?.summary.meanAuc;
  const level = value !== undefined && { level: { name: `test ${formatLoss(value)}`, color: colors.test, value } };
  const series = [curve('validation', colors.validation, epochs, ({ validMetrics }) => validMetrics?.meanAuc)];
  return [{ title: 'Mean AUC', series, ...level }];
}

function learningRatePanel({ epochs }: History): Panel {
  return {
    title: 'Learning rate',
    series: [curve('at the end of the epoch', colors.learningRate, epochs, ({ learningRate }) => learningRate)],
  };
}

/** A series of one figure of the epochs; an absent figure leaves a gap, as one that is not finite does. */
function curve(
  name: string,
  color: string,
  epochs: readonly EpochRecord[],
  figure: (record: EpochRecord) => number | undefined,
): Series {
  return {
    name,
    color,
    points: epochs.map((record) => ({ epoch: record.epoch, value: figure(record) ?? Number.NaN })),
  };
}
