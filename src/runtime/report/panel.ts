/** @file One panel of curves over the epochs: a title, a legend, axes and lines, as a fragment of SVG. */

import { dot, gridY, line, ruleY } from '@observablehq/plot';
import { axes, plotFragment } from './plot.js';
import { escapeText } from './text.js';

/** A value at an epoch. One that is not finite leaves a gap. */
interface Point {
  readonly epoch: number;
  readonly value: number;
}

/** A curve with its entry in the legend. */
export interface Series {
  readonly name: string;
  readonly color: string;
  readonly points: readonly Point[];
}

/** A single value, drawn as a dashed line across all epochs. */
interface Level {
  readonly name: string;
  readonly color: string;
  readonly value: number;
}

/** What a panel shows. */
export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
  readonly level?: Level | undefined;
}

export const panelWidth = 440;
export const panelHeight = 300;

const margin = { top: 52, right: 20, bottom: 48, left: 58 } as const;
/** About how many ticks the axes have. */
const ticks = { x: 8, y: 6 } as const;
const ink = '#333333';
const dashes = '5 4';
/** Up to this many epochs each one has its dot. */
const maxDottedEpochs = 40;

/** A complete SVG document, readable on its own. */
export function svgDocument(label: string, width: number, height: number, content: string): string {
  const size = `width="${width}" height="${height}"`;
  const font = `font-family="Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="12"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escapeText(label)}" ${size}`,
    ` viewBox="0 0 ${width} ${height}" ${font} fill="${ink}" color="${ink}">`,
    `<rect class="ground" ${size} fill="#ffffff"/>${content}</svg>`,
  ].join('');
}

/** Draws a panel of `panelWidth` by `panelHeight`. A note takes the place of the curves where nothing is finite. */
export function renderPanel({ title, series, level }: Panel): string {
  const heading = `<text x="16" y="26" font-size="14" font-weight="bold">${escapeText(title)}</text>`;
  const epochs = extent(series.flatMap(({ points }) => points.map(({ epoch }) => epoch)));
  if (!epochs) return heading + note('no epoch yet');

  const curves = series.filter(({ points }) => points.some(isFinitePoint));
  const levels = level && Number.isFinite(level.value) ? [level] : [];
  const values = extent([...curves.flatMap(({ points }) => points), ...levels].map(({ value }) => value));
  if (!values) return heading + note('no finite value');

  const [[first, last], [low, high]] = [epochs, values];
  const fragment = plotFragment({
    width: panelWidth,
    height: panelHeight,
    marginTop: margin.top,
    marginRight: margin.right,
    marginBottom: margin.bottom,
    marginLeft: margin.left,
    inset: 6,
    x: { domain: first < last ? epochs : [first - 1, last + 1] },
    y: { domain: low < high ? values : [0.9 * low, 1.1 * high || 1], nice: ticks.y },
    marks: [
      gridY({ stroke: ink, strokeOpacity: 0.12, ticks: ticks.y }),
      ...axes(
        'epoch',
        ink,
        { ticks: epochTicks(epochs), tickFormat: 'd' },
        { ticks: ticks.y, tickFormat: valueFormat(values) },
      ),
      ...levels.map(({ value, color }) => ruleY([value], { stroke: color, strokeWidth: 1.5, strokeDasharray: dashes })),
      ...curves.flatMap(({ points, color }) => [
        line(points.map(withGap), { x: 'epoch', y: 'value', stroke: color, strokeWidth: 1.75 }),
        dot(points.filter(isDotted), { x: 'epoch', y: 'value', fill: color, r: 2.5 }),
      ]),
    ],
  });
  return `${heading}${legend(curves, levels)}<g text-anchor="middle">${fragment}</g>`;
}

/** A line of text in the middle of an empty panel. */
function note(text: string): string {
  const y = (margin.top + panelHeight - margin.bottom) / 2;
  return `<text x="${panelWidth / 2}" y="${y}" text-anchor="middle" fill="#666666">${escapeText(text)}</text>`;
}

/** The names of curves and levels, right-aligned on the line of the title. */
function legend(curves: readonly Series[], levels: readonly Level[]): string {
  const entries = [
    ...curves.map(({ name, color }) => ({ name, color, dashed: '' })),
    ...levels.map(({ name, color }) => ({ name, color, dashed: ` stroke-dasharray="${dashes}"` })),
  ];
  // The text's width can't be measured here: 6.2 is the mean width of a character, with some room for wider fonts.
  const widths = entries.map(({ name }) => 40 + 6.2 * name.length);
  let x = panelWidth - margin.right - widths.reduce((sum, width) => sum + width, 0);
  const drawn = entries.map(({ name, color, dashed }, index) => {
    const left = x;
    x += widths[index] ?? 0;
    const at = (offset: number): string => (left + offset).toFixed(1);
    const sample = `<path d="M${at(14)},22H${at(34)}" stroke="${color}" stroke-width="2"${dashed}/>`;
    return `${sample}<text x="${at(39)}" y="26">${escapeText(name)}</text>`;
  });
  return drawn.join('');
}

function isFinitePoint({ value }: Point): boolean {
  return Number.isFinite(value);
}

/** Plot interrupts a line where a value is missing. */
function withGap({ epoch, value }: Point): { epoch: number; value: number | null } {
  return { epoch, value: Number.isFinite(value) ? value : null };
}

/** Short curves have dots, and so have points between two gaps, of which no line is seen. */
function isDotted(point: Point, index: number, points: readonly Point[]): boolean {
  const neighbours = [points[index - 1], points[index + 1]];
  const alone = !neighbours.some((neighbour) => neighbour && isFinitePoint(neighbour));
  return isFinitePoint(point) && (points.length <= maxDottedEpochs || alone);
}

/** Least and greatest of the finite numbers, if there are any. */
function extent(numbers: readonly number[]): [number, number] | undefined {
  const finite = numbers.filter(Number.isFinite);
  if (finite.length === 0) return undefined;
  return finite.reduce(([low, high], number) => [Math.min(low, number), Math.max(high, number)], [Infinity, -Infinity]);
}

/** Every epoch of a short run (Plot would add halves), or about how many ticks a long one has. */
function epochTicks([first, last]: [number, number]): number[] | number {
  const span = last - first;
  return span < 10 ? Array.from({ length: span + 1 }, (_, index) => first + index) : ticks.x;
}

/** Plot's own format where it is short; with an exponent, or as many digits as it takes, for large and small values. */
function valueFormat([low, high]: [number, number]): string | ((value: number) => string) {
  const size = Math.max(-low, high);
  return size < 1e6 && high - low > size / 1000 && size > 1e-3 ? ',f' : (value) => String(Number(value.toPrecision(6)));
}
