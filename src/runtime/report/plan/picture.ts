/** @file The picture of a step's memory: what is alive over its modelled time, stacked by what it is. */

import { areaY, gridY } from '@observablehq/plot';
import { aliveAt, memoryKinds, type StepMemory } from '../../../memory/step-memory.js';
import { svgDocument } from '../panel.js';
import { axes, plotFragment } from '../plot.js';
import { escapeText, formatMegabytes } from '../text.js';
import { lanesHeight, renderLanes } from './lanes.js';
import { type Slice, slicesOf, startsOf, type TimeScale, xAt } from './slices.js';
import { kindColors, kindWords, pictureStyle } from './style.js';

/** How a picture is drawn. */
export interface PictureOptions {
  readonly title: string;
  /** Pixels. */
  readonly width: number;
  /** Whether it stands alone: with its own style sheet, and with names that viewers show at the pointer. */
  readonly alone: boolean;
}

/** Left and right margins of pictures, for what is placed beside them. */
export const margin = { left: 58, right: 18 } as const;

/** A mean character's width in 12 pixels' type, with some room for wider fonts: text can't be measured here. */
const characterWidth = 6.3;
const plotHeight = 300;
const ink = 'currentColor';
/** Each slice takes at least this many pixels of the width. */
const slicePixels = 1.5;
/** Of a picture that stands alone, at the pointer: it has no script that would look them up. */
const hoverPixels = 4;
const namedTensors = 4;

/** A picture with the pixels between which its plot stands. */
export interface Picture {
  /** An SVG document. */
  readonly svg: string;
  readonly top: number;
  readonly bottom: number;
}

/** Draws a step's memory. */
export function renderStepMemory(memory: StepMemory, { title, width, alone }: PictureOptions): Picture {
  const starts = startsOf(memory.nodes);
  const total = starts[memory.nodes.length] as number;
  const scale: TimeScale = { left: margin.left, right: width - margin.right, total };
  const [inner, peakTime] = [
    scale.right - scale.left,
    ((starts[memory.peakAt] as number) + (starts[memory.peakAt + 1] as number)) / 2,
  ];
  const slices = slicesOf(memory, inner / slicePixels);
  const heading = wrap(title, (width - 32) / (characterWidth * 1.22));
  const legend = renderLegend(memory, width, 14 + 20 * heading.length);
  const top = legend.bottom + 38;
  const bottom = top + plotHeight;
  const axis = bottom + 44;
  const height = axis + lanesHeight(width) + 12;
  const content = [
    ...(alone ? [`<style>${pictureStyle('svg')}</style>`] : []),
    ...heading.map(
      (line, index) =>
        `<text x="16" y="${24 + 20 * index}" font-size="14" font-weight="bold">${escapeText(line)}</text>`,
    ),
    legend.content,
    `<g text-anchor="middle">${areas(slices, memory.peakBytes, { width, height: bottom + 48, top, total })}</g>`,
    renderPeak(memory, xAt(scale, peakTime), { scale, top, bottom }),
    renderLanes(memory.nodes, starts, scale, axis),
    ...(alone ? hoverNames(memory, slicesOf(memory, inner / hoverPixels), { scale, top, bottom }) : []),
  ];
  return { svg: svgDocument(title, width, height, content.join('')), top, bottom };
}

function areas(
  slices: readonly Slice[],
  peakBytes: number,
  { width, height, top, total }: { width: number; height: number; top: number; total: number },
): string {
  const last = slices.at(-1);
  const corners = [
    ...slices.map(({ start, bytes }) => ({ at: start, bytes })),
    ...(last ? [{ at: last.end, bytes: last.bytes }] : []),
  ];
  const marks = memoryKinds.map((kind, index) => {
    const points = corners.map(({ at, bytes }) => {
      const below = bytes.slice(0, index).reduce((sum, each) => sum + each, 0);
      return { at, low: below / 1e6, high: (below + (bytes[index] ?? 0)) / 1e6 };
    });
    const channels = { x: 'at', y1: 'low', y2: 'high', curve: 'step-after' } as const;
    return areaY(points, { ...channels, fill: kindColors[kind], className: kind });
  });
  return plotFragment({
    width,
    height,
    marginTop: top,
    marginRight: margin.right,
    marginBottom: 48,
    marginLeft: margin.left,
    x: { domain: [0, total] },
    y: { domain: [0, peakBytes / 1e6], nice: 5 },
    marks: [
      gridY({ stroke: ink, strokeOpacity: 0.14, ticks: 5 }),
      ...marks,
      ...axes('modelled time (ms)', ink, { ticks: width < 600 ? 5 : 10 }, { ticks: 5 }),
    ],
  });
}

/** Names of kinds with what they are at the peak, in as many lines as they take. */
function renderLegend(memory: StepMemory, width: number, top: number): { content: string; bottom: number } {
  const atPeak = aliveAt(memory, memory.peakAt);
  let [x, y] = [16, top + 14];
  const drawn = memoryKinds.map((kind) => {
    const bytes = atPeak.filter((buffer) => buffer.kind === kind).reduce((sum, buffer) => sum + buffer.bytes, 0);
    const text = `${kindWords[kind][0]} ${formatMegabytes(bytes)}`;
    const length = 18 + characterWidth * text.length + 18;
    if (x + length > width && x > 16) [x, y] = [16, y + 20];
    const entry = `<rect class="${kind}" x="${x}" y="${y - 10}" width="12" height="12" rx="2" fill="${kindColors[kind]}"/><text x="${x + 18}" y="${y}">${escapeText(text)}</text>`;
    x += length;
    return entry;
  });
  return { content: drawn.join(''), bottom: y };
}

/** A line at the peak, named above the plot. */
function renderPeak(
  { peakBytes, nodes, peakAt }: StepMemory,
  x: number,
  { scale, top, bottom }: { scale: TimeScale; top: number; bottom: number },
): string {
  const node = nodes[peakAt];
  const short = `peak ${formatMegabytes(peakBytes)}`;
  const long = `${short} at ${node?.name ?? ''}`;
  const room = (text: string): boolean => text.length * characterWidth < scale.right - scale.left;
  const text = room(long) ? long : short;
  const half = (text.length * characterWidth) / 2;
  const middle = Math.min(Math.max(x, scale.left + half), scale.right - half);
  return `<path d="M${x.toFixed(1)},${top - 6}V${bottom}" stroke="${ink}" stroke-dasharray="4 3" fill="none"/><text x="${middle.toFixed(1)}" y="${top - 12}" text-anchor="middle" font-weight="bold">${escapeText(text)}</text>`;
}

/** Invisible bars that name what runs and what is alive. */
function hoverNames(
  memory: StepMemory,
  slices: readonly Slice[],
  { scale, top, bottom }: { scale: TimeScale; top: number; bottom: number },
): string[] {
  return slices.map(({ start, end, at }) => {
    const node = memory.nodes[at];
    const largest = aliveAt(memory, at).slice(0, namedTensors);
    const lines = [
      `${formatMegabytes(memory.timeline[at] ?? 0)} while ${node?.name} runs (${node?.phase}${node?.layer ? `, ${node.layer}` : ''})`,
      ...largest.map(({ name, kind, bytes }) => `${formatMegabytes(bytes)} ${kindWords[kind][0]}: ${name}`),
    ];
    const [left, right] = [xAt(scale, start), xAt(scale, end)].map((x) => x.toFixed(1)) as [string, string];
    return `<rect x="${left}" y="${top}" width="${(Number(right) - Number(left)).toFixed(1)}" height="${bottom - top}" fill="none" pointer-events="all"><title>${escapeText(lines.join('\n'))}</title></rect>`;
  });
}

/** Text in lines of at most so many characters, where words allow. */
function wrap(text: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= most) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
