/** @file The plot of live peaks over the depth. */

import { dot, gridY, line } from '@observablehq/plot';
import { svgDocument } from '../src/runtime/report/panel.js';
import { axes, plotFragment } from '../src/runtime/report/plot.js';
import { type LivePeak, policies } from './live-peaks.js';

const width = 440;
const height = 320;
const ink = '#333333';
/** Told apart by colour-blind readers too. */
const colors: Readonly<Record<string, string>> = { none: '#d55e00', efficient: '#0072b2', max: '#007a5a' };

/** All policies, and beside them those that recompute on a scale of their own, as a standalone SVG file. */
export function renderLivePeaks(peaks: readonly LivePeak[], batchSize: number): string {
  const title = `Predicted live peak of a training step by depth (GB), batch ${batchSize}`;
  const recomputing = peaks.filter(({ remat }) => remat !== 'none');
  const content = [
    `<text x="16" y="26" font-size="14" font-weight="bold">${title}</text>`,
    legend(),
    ...[peaks, recomputing].map((shown, index) => `<g transform="translate(${index * width},24)">${panel(shown)}</g>`),
  ];
  return `${svgDocument(title, 2 * width, height + 24, content.join(''))}\n`;
}

function panel(peaks: readonly LivePeak[]): string {
  const depths = [...new Set(peaks.map(({ depth }) => depth))];
  const fragment = plotFragment({
    width,
    height,
    marginTop: 24,
    marginRight: 20,
    marginBottom: 48,
    marginLeft: 58,
    inset: 6,
    y: { domain: [0, Math.max(...peaks.map(gigabytes))], nice: true },
    marks: [
      gridY({ stroke: ink, strokeOpacity: 0.12 }),
      ...axes('depth', ink, { ticks: depths }),
      ...policies.flatMap((remat) => {
        const points = peaks.filter((peak) => peak.remat === remat);
        const color = colors[remat] ?? ink;
        return [
          line(points, { x: 'depth', y: gigabytes, stroke: color, strokeWidth: 1.75 }),
          dot(points, { x: 'depth', y: gigabytes, fill: color, r: 3 }),
        ];
      }),
    ],
  });
  return `<g text-anchor="middle">${fragment}</g>`;
}

/** The policies' names, on the right of the line of the title. */
function legend(): string {
  const entries = policies.map((remat, index) => {
    const x = 2 * width - 20 - 110 * (policies.length - index);
    const sample = `<path d="M${x},22h22" stroke="${colors[remat] ?? ink}" stroke-width="2"/>`;
    return `${sample}<text x="${x + 28}" y="26">${remat}</text>`;
  });
  return entries.join('');
}

function gigabytes({ bytes }: LivePeak): number {
  return bytes / 1e9;
}
