/** @file The memory of a training step over its course, as planned. */

import { areaY, dot, gridY, lineY, ruleX, text } from '@observablehq/plot';
import type { MemoryForecast } from '../measure/forecast.js';
import { panelWidth, svgDocument } from './panel.js';
import { axes, plotFragment } from './plot.js';
import { escapeText, formatMegabytes } from './text.js';

/** Three panels wide, so that all text of the report has one size. */
const width = 3 * panelWidth;
const height = 300;
const color = '#0072b2';
const ink = '#333333';

/** Live bytes over the nodes of a step, an SVG document. */
export function renderMemory(forecast: MemoryForecast): string {
  const { timeline, livePeakBytes, peakPosition, backwardPosition, batchSize } = forecast;
  const last = Math.max(1, timeline.length - 1);
  const points = timeline.map((bytes, index) => ({ at: (100 * index) / last, megabytes: bytes / 1e6 }));
  const peak = { at: 100 * peakPosition, megabytes: livePeakBytes / 1e6 };
  const phases = [
    { at: 0, name: 'forward' },
    { at: 100 * backwardPosition, name: 'backward' },
  ];
  const fragment = plotFragment({
    width,
    height,
    marginTop: 52,
    marginRight: 20,
    marginBottom: 48,
    marginLeft: 64,
    x: { domain: [0, 100] },
    y: { domain: [0, peak.megabytes], nice: 5 },
    marks: [
      gridY({ stroke: ink, strokeOpacity: 0.12, ticks: 5 }),
      areaY(points, { x: 'at', y: 'megabytes', fill: color, fillOpacity: 0.18 }),
      lineY(points, { x: 'at', y: 'megabytes', stroke: color, strokeWidth: 1.5 }),
      dot([peak], { x: 'at', y: 'megabytes', fill: color, r: 3.5 }),
      ruleX([100 * backwardPosition], { stroke: ink, strokeOpacity: 0.5, strokeDasharray: '4 3' }),
      // Above the frame: within it the curve may be anywhere.
      text(phases, {
        x: 'at',
        text: 'name',
        frameAnchor: 'top',
        lineAnchor: 'bottom',
        textAnchor: 'start',
        dy: -4,
        fill: ink,
      }),
      ...axes('nodes of the step that are done (%)', ink, { ticks: 10 }, { ticks: 5 }),
    ],
  });
  const title = `Memory alive during a step of ${batchSize} images (MB)`;
  const heading = `<text x="16" y="26" font-size="14" font-weight="bold">${escapeText(title)}</text>`;
  const most = `<text x="${width - 20}" y="26" text-anchor="end">peak ${formatMegabytes(livePeakBytes)}</text>`;
  return svgDocument(title, width, height, `${heading}${most}<g text-anchor="middle">${fragment}</g>`);
}
