/** @file Text and figures as curves and report show them. */

import { type Task, tasks } from '../../step/tasks.js';
import { figureWords } from '../model/metrics/index.js';

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** The text as it may stand in an element or in a quoted attribute. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** A fraction in percent, such as '5.24 %'; '–' where there is none. */
export function formatPercent(fraction: number | undefined): string {
  if (fraction === undefined) return '–';
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(2)} %` : String(fraction);
}

/** A loss with four digits after the point, large ones with an exponent; '–' where there is none. */
export function formatLoss(loss: number | undefined): string {
  if (loss === undefined) return '–';
  return Math.abs(loss) < 1e6 ? loss.toFixed(4) : loss.toPrecision(4);
}

/** A task's error: in percent where it is a share, else as a loss. */
export function formatError(task: Task, error: number | undefined): string {
  return tasks[task].isShare ? formatPercent(error) : formatLoss(error);
}

/** A figure of an evaluation, as `figureWords` has it; '–' where there is none. */
export function formatFigure(name: string, value: number | string | null | undefined): string {
  if (typeof value === 'string') return value;
  const form = figureWords[name]?.form;
  if (form === 'count' && value !== undefined && value !== null) return String(value);
  return form === 'share' ? formatPercent(value ?? undefined) : formatLoss(value ?? undefined);
}

/** A name with a capital. */
export function capitalized(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

/** Bytes in MB = 10⁶. */
export function formatMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A duration as `12.3 s`, `4 min 05 s` or `2 h 03 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const pad = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad((whole % 3600) / 60)} min`;
}

/** A learning rate with four digits. */
export function formatRate(rate: number): string {
  const rounded = Number(rate.toPrecision(4));
  return rate < 1e-3 && rate > 0 ? rounded.toExponential() : String(rounded);
}
