/** @file The curves of a run: loss, error and learning rate over the epochs. */

import type { EpochRecord, History } from './history.js';
import { type Panel, panelHeight, panelWidth, renderPanel, type Series, svgDocument } from './panel.js';
import { formatPercent } from './text.js';

/** Told apart by colour-blind readers too, and dark enough on white. */
const colors = { train: '#0072b2', validation: '#d55e00', test: '#007a5a', learningRate: '#6a3d9a' } as const;

/** Loss and error side by side, as a standalone SVG file. */
export function renderCurves(history: History): string {
  const content = [lossPanel(history), errorPanel(history)].map(
    (panel, index) => `<g transform="translate(${index * panelWidth},0)">${renderPanel(panel)}</g>`,
  );
  return `${svgDocument('Loss and error by epoch', 2 * panelWidth, panelHeight, content.join(''))}\n`;
}

/** Loss, error and learning rate, each an SVG document of its own. */
export function renderPanels(history: History): string[] {
  return [lossPanel(history), errorPanel(history), learningRatePanel(history)].map((panel) =>
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

function errorPanel({ epochs, test }: History): Panel {
  return {
    title: 'Error (%)',
    series: [
      curve('train', colors.train, epochs, ({ trainError }) => 100 * trainError),
      curve('validation', colors.validation, epochs, ({ validError }) => validError && 100 * validError),
    ],
    level: test && { name: `test ${formatPercent(test.error)}`, color: colors.test, value: 100 * test.error },
  };
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
