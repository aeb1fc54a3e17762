/** @file The picture of a sweep: the time of plans against the memory they take. */

import { dot, gridX, gridY, line, text } from '@observablehq/plot';
import type { SweptPlan } from '../../measure/sweep-plans.js';
import { svgDocument } from '../panel.js';
import { axes, plotFragment } from '../plot.js';
import { escapeText, formatMegabytes } from '../text.js';
import type { PictureOptions } from './picture.js';
import { kindColors, pictureStyle } from './style.js';

const height = 340;
const top = 64;
const ink = 'currentColor';
const marks = { policies: kindColors.gradients, budgets: kindColors.kept, measured: kindColors.recomputed } as const;

interface Point {
  readonly name: string;
  readonly megabytes: number;
  readonly ms: number;
}

/** What a picture of a sweep says of itself. */
export function sweepTitle(name: string, batchSize: number): string {
  return `Time of a step (ms) against live peak (MB): ${name}, batch ${batchSize}`;
}

/** The picture of a sweep as a file of its own. */
export function renderSweepPicture(plans: readonly SweptPlan[], name: string, batchSize: number): string {
  return `${renderSweep(plans, { title: sweepTitle(name, batchSize), width: 880, alone: true })}\n`;
}

/** Draws a sweep as an SVG document: the policies by name, budgets as a line, what was measured hollow. */
export function renderSweep(plans: readonly SweptPlan[], { title, width, alone }: PictureOptions): string {
  const points = plans.flatMap((plan) => pointOf(plan, plan.estimatedStepMs));
  const budgets = byMemory(plans.filter(isBudget).flatMap((plan) => pointOf(plan, plan.estimatedStepMs)));
  const policies = plans.filter((plan) => !isBudget(plan)).flatMap((plan) => pointOf(plan, plan.estimatedStepMs));
  const measured = byMemory(plans.flatMap((plan) => pointOf(plan, plan.measured?.stepMs.median)));
  const times = [...points, ...measured].map(({ ms }) => ms);
  const sizes = points.map(({ megabytes }) => megabytes);
  const channels = { x: 'megabytes', y: 'ms' } as const;
  const fragment = plotFragment({
    ...{ width, height, marginTop: top, marginRight: 28, marginBottom: 48, marginLeft: 62, inset: 10 },
    x: { domain: range(sizes), nice: true },
    y: { domain: range(times), nice: true },
    marks: [
      gridX({ stroke: ink, strokeOpacity: 0.1, ticks: width < 600 ? 5 : 10 }),
      gridY({ stroke: ink, strokeOpacity: 0.14, ticks: 6 }),
      // Between two budgets the plan within the smaller one is the one that is known to fit.
      line(budgets, { ...channels, curve: 'step-after', stroke: marks.budgets, strokeWidth: 1.5 }),
      dot(budgets, { ...channels, fill: marks.budgets, r: 3.5, title: titleOf }),
      dot(measured, { ...channels, stroke: marks.measured, strokeWidth: 2, r: 4.5, title: titleOf }),
      dot(policies, { ...channels, fill: marks.policies, r: 4.5, symbol: 'diamond', title: titleOf }),
      // The last ones are at the right border.
      text(policies, { ...channels, text: 'name', dy: -12, fill: ink, textAnchor: 'middle', fontWeight: 'bold' }),
      ...axes('live peak (MB)', ink, { ticks: width < 600 ? 5 : 10 }, { ticks: 6 }),
    ],
  });
  const style = alone ? `<style>${pictureStyle('svg')}</style>` : '';
  const heading = `<text x="16" y="24" font-size="${width < 600 ? 11 : 14}" font-weight="bold">${escapeText(width < 600 ? (title.split(':')[0] ?? title) : title)}</text>`;
  const legend = renderLegend(measured.length > 0);
  return svgDocument(title, width, height, `${style}${heading}${legend}<g text-anchor="middle">${fragment}</g>`);
}

/** A plan by name: its policy, or its budget. */
export function nameOf({ remat, budgetBytes, inBundle }: SweptPlan): string {
  const name = budgetBytes === undefined ? remat : `within ${formatMegabytes(budgetBytes)}`;
  return inBundle ? `${name} (this bundle)` : name;
}

type Proven = Pick<SweptPlan, 'status' | 'gap' | 'least'>;

/** What is proven of a plan within a budget, and of the smallest one, in words. */
export function provenOf(plan: Proven): string {
  const least = plan.least && `the least ${plan.least === 'proven' ? 'there is' : 'found'}`;
  return [qualityOf(plan), least].filter(Boolean).join(', ');
}

function qualityOf({ status, gap }: Proven): string {
  if (status === undefined) return '';
  if (status === 'timeout') return 'none found in time';
  if (status === 'optimal') return 'optimal';
  if (gap === undefined || gap >= 1) return 'not bounded in time';
  return `to ${(100 * gap).toFixed(2)} %`;
}

function isBudget({ budgetBytes }: SweptPlan): boolean {
  return budgetBytes !== undefined;
}

function pointOf(plan: SweptPlan, ms: number | undefined): Point[] {
  if (plan.predictedLivePeakBytes === undefined || ms === undefined) return [];
  return [{ name: isBudget(plan) ? nameOf(plan) : plan.remat, megabytes: plan.predictedLivePeakBytes / 1e6, ms }];
}

function titleOf({ name, megabytes, ms }: Point): string {
  return `${name}: ${ms.toFixed(1)} ms, ${megabytes.toFixed(1)} MB`;
}

function byMemory(points: readonly Point[]): Point[] {
  return [...points].sort((a, b) => a.megabytes - b.megabytes);
}

/** From the least to the greatest, with some room where they are one. */
function range(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low < high ? [low, high] : [0.9 * low, 1.1 * high || 1];
}

function renderLegend(isMeasured: boolean): string {
  const entries = [
    ['policies', `<path d="M0,-5L5,0L0,5L-5,0Z" fill="${marks.policies}"/>`, 90],
    ['budgets', `<circle r="3.5" fill="${marks.budgets}"/>`, 90],
    ['measured', `<circle r="4.5" fill="none" stroke="${marks.measured}" stroke-width="2"/>`, 90],
  ] as const;
  let x = 22;
  return entries
    .slice(0, isMeasured ? 3 : 2)
    .map(([name, mark, length]) => {
      const entry = `<g transform="translate(${x},44)">${mark}<text x="12" y="4">${name}</text></g>`;
      x += length;
      return entry;
    })
    .join('');
}
