/** @file The plot of budgets: milliseconds of a step against the memory it takes, a panel a network. */

import { dot, gridY, line } from '@observablehq/plot';
import { svgDocument } from '../src/runtime/report/panel.js';
import { axes, plotFragment } from '../src/runtime/report/plot.js';
import { type BudgetNetwork, type BudgetRow, growthOf, stepMsOf } from './budget-rows.js';

const width = 440;
const height = 320;
const ink = '#333333';

/** Told apart by colour-blind readers too. */
const series: readonly {
  readonly name: string;
  readonly color: string;
  readonly rows: (row: BudgetRow) => boolean;
  readonly isLine: boolean;
}[] = [
  { name: 'within budgets', color: '#0072b2', isLine: true, rows: (row) => row.budgetBytes !== undefined },
  {
    name: 'policies',
    color: '#007a5a',
    isLine: false,
    rows: (row) => row.budgetBytes === undefined && row.estimatedStepMs !== undefined,
  },
  { name: 'torch.compile', color: '#d55e00', isLine: true, rows: (row) => row.activationBudget !== undefined },
  {
    name: 'PyTorch eager',
    color: '#cc79a7',
    isLine: false,
    rows: (row) => row.activationBudget === undefined && row.estimatedStepMs === undefined,
  },
];

interface Point {
  readonly megabytes: number;
  readonly ms: number;
}

/** The networks side by side, as a standalone SVG file: what was measured where anything was, else what is modelled. */
export function renderBudgets(networks: readonly BudgetNetwork[]): string {
  const title = 'Milliseconds of a training step against its memory (MB)';
  const panels = networks.map(
    (network, index) => `<g transform="translate(${index * width},48)">${panel(network)}</g>`,
  );
  const heading = `<text x="16" y="26" font-size="14" font-weight="bold">${title}</text>`;
  return `${svgDocument(title, Math.max(1, networks.length) * width, height + 68, `${heading}${legend()}${panels.join('')}`)}\n`;
}

function panel(network: BudgetNetwork): string {
  const isMeasured = network.rows.some((row) => stepMsOf(row) !== null);
  const pointOf = (row: BudgetRow): Point[] => {
    const ms = isMeasured ? stepMsOf(row) : (row.estimatedStepMs ?? null);
    const bytes = isMeasured ? growthOf(row) : (row.predictedLivePeakBytes ?? null);
    return ms === null || bytes === null ? [] : [{ megabytes: bytes / 1e6, ms }];
  };
  const drawn = series.map(({ rows, ...rest }) => ({
    ...rest,
    points: network.rows
      .filter(rows)
      .flatMap(pointOf)
      .sort((a, b) => a.megabytes - b.megabytes),
  }));
  const all = drawn.flatMap(({ points }) => points);
  const heading = `<text x="58" y="12" font-size="12" text-anchor="start">${network.title}, ${isMeasured ? 'measured growth' : 'modelled, live peak'}</text>`;
  if (all.length === 0) return heading;
  const channels = { x: 'megabytes', y: 'ms' } as const;
  const fragment = plotFragment({
    ...{ width, height, marginTop: 24, marginRight: 20, marginBottom: 48, marginLeft: 58, inset: 6 },
    x: { domain: [0, Math.max(...all.map(({ megabytes }) => megabytes))], nice: true },
    y: { domain: [0, Math.max(...all.map(({ ms }) => ms))], nice: true },
    marks: [
      gridY({ stroke: ink, strokeOpacity: 0.12 }),
      ...axes('MB', ink, { ticks: 6 }),
      ...drawn.flatMap(({ points, color, isLine }) => [
        ...(isLine ? [line(points, { ...channels, stroke: color, strokeWidth: 1.75 })] : []),
        dot(points, { ...channels, fill: color, r: 3 }),
      ]),
    ],
  });
  return `${heading}<g text-anchor="middle">${fragment}</g>`;
}

function legend(): string {
  return series
    .map(({ name, color }, index) => {
      const x = 16 + 108 * index;
      return `<circle cx="${x + 4}" cy="40" r="4" fill="${color}"/><text x="${x + 14}" y="44" font-size="11">${name}</text>`;
    })
    .join('');
}
