/** @file Lanes below a picture of memory: which phase runs when, and in which part of the network. */

import type { StepNode } from '../../../memory/step-memory.js';
import { escapeText } from '../text.js';
import { type TimeScale, xAt } from './slices.js';
import { phases } from './style.js';

const laneHeight = 16;
const barHeight = 10;
/** Lanes are drawn in columns of so many pixels. */
const column = 2;
/** Parts of the network: as deep in the layers' names as leaves at most so many. */
const mostParts = 14;
/** Names of parts are shown where they have room. */
const nameWidth = 5.3;
const narrow = 600;

/** Pixels that the lanes take, with the line of parts above them. */
export function lanesHeight(width: number): number {
  return 22 + laneHeight * phases.length + (width < narrow ? 2 : 0);
}

/** Draws the lanes below `top`. @param starts modelled milliseconds at which each node begins, and the end */
export function renderLanes(nodes: readonly StepNode[], starts: Float64Array, scale: TimeScale, top: number): string {
  const count = Math.max(1, Math.floor((scale.right - scale.left) / column));
  const parts = partsOf(nodes);
  const columns = Array.from({ length: count }, () => ({
    phases: new Map<string, number>(),
    parts: new Map<string, number>(),
  }));
  for (const [position, { phase }] of nodes.entries()) {
    const [from, to] = [starts[position] as number, starts[position + 1] as number];
    const first = Math.min(count - 1, Math.floor((from / scale.total) * count));
    const last = Math.min(count - 1, Math.floor((to / scale.total) * count));
    for (let index = first; index <= last; index++) {
      const [begin, end] = [(index * scale.total) / count, ((index + 1) * scale.total) / count];
      const share = Math.max(0, Math.min(to, end) - Math.max(from, begin)) / (end - begin);
      const found = columns[index] as (typeof columns)[number];
      found.phases.set(phase, (found.phases.get(phase) ?? 0) + share);
      const part = parts[position];
      if (part) found.parts.set(part, (found.parts.get(part) ?? 0) + share);
    }
  }
  const xOf = (index: number): number => xAt(scale, (index * scale.total) / count);
  const named = runs(columns.map((each) => largest(each.parts)))
    .filter(({ value, from, to }) => value !== '' && xOf(to) - xOf(from) >= nameWidth * shortName(value).length)
    .map(
      ({ value, from, to }) =>
        `<path d="M${(xOf(from) + 1).toFixed(1)},${top + 14}h${(xOf(to) - xOf(from) - 2).toFixed(1)}" stroke="currentColor" stroke-opacity="0.5"/><text x="${((xOf(from) + xOf(to)) / 2).toFixed(1)}" y="${top + 9}" text-anchor="middle" font-size="10">${escapeText(shortName(value))}</text>`,
    );
  const lanes = phases.map((phase, lane) => {
    const y = top + 22 + lane * laneHeight;
    // A phase that has a moment of a column is seen; one that has all of it is dark.
    const shades = columns.map((each) =>
      Math.ceil(4 * Math.min(1, (each.phases.get(phase) ?? 0) + 0.001 * Number(each.phases.has(phase)))),
    );
    const bars = runs(shades)
      .filter(({ value }) => value > 0)
      .map(
        ({ value, from, to }) =>
          `<rect x="${xOf(from).toFixed(1)}" y="${y}" width="${(xOf(to) - xOf(from)).toFixed(1)}" height="${barHeight}" fill-opacity="${(0.1 + 0.16 * value).toFixed(2)}"/>`,
      );
    return `<text x="${scale.left - 6}" y="${y + barHeight - 1}" text-anchor="end" font-size="10">${phase}</text>${bars.join('')}`;
  });
  return `<g>${named.join('')}${lanes.join('')}</g>`;
}

/** The part of the network that each node belongs to: beginnings of layers' names, no more than can be told apart. */
export function partsOf(nodes: readonly StepNode[]): readonly string[] {
  const layers = nodes.map(({ layer }) => layer.split('.'));
  const deepest = Math.max(1, ...layers.map(({ length }) => length));
  let parts = layers.map(([first = '']) => first);
  for (let depth = 2; depth <= deepest; depth++) {
    const deeper = layers.map((names) => names.slice(0, depth).join('.'));
    if (new Set(deeper).size > mostParts) break;
    parts = deeper;
  }
  return parts;
}

function shortName(part: string): string {
  return part.split('.').at(-1) ?? part;
}

function largest(shares: ReadonlyMap<string, number>): string {
  return [...shares].reduce((best, each) => (each[1] > best[1] ? each : best), ['', 0] as [string, number])[0];
}

/** Equal values in a row. */
function runs<T>(values: readonly T[]): { value: T; from: number; to: number }[] {
  const found: { value: T; from: number; to: number }[] = [];
  for (const [index, value] of values.entries()) {
    const last = found.at(-1);
    if (last && last.value === value) last.to = index + 1;
    else found.push({ value, from: index, to: index + 1 });
  }
  return found;
}
