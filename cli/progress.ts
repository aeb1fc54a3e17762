/** @file Progress bars with the time left: on stderr, and only where someone looks. */

import { Presets, SingleBar } from 'cli-progress';
import { duration, note } from './output.js';

/** A bar that can be moved and ended. */
export interface Progress {
  update(done: number, text?: string): void;
  stop(): void;
}

const silent: Progress = { update: () => undefined, stop: () => undefined };

/** How to end the bars in sight, each of which hides the cursor and keeps lines from wrapping. */
const shown = new Set<() => void>();

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function remember(stop: () => void): void {
  if (shown.size === 0) for (const signal of signals) process.on(signal, restoreTerminal);
  shown.add(stop);
}

function forget(stop: () => void): void {
  shown.delete(stop);
  if (shown.size === 0) for (const signal of signals) process.off(signal, restoreTerminal);
}

/** Leaves the terminal as it was when a signal ends the process; where a command decides what it means, that goes first. */
function restoreTerminal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  for (const stop of shown) stop();
  process.kill(process.pid, signal);
}

/** Whether bars can be drawn: stderr is a terminal that moves its cursor, and nobody reads a log of it later. */
export function drawsBars(): boolean {
  const { TERM, CI } = process.env;
  const isLogged = CI !== undefined && !['', '0', 'false'].includes(CI);
  return process.stderr.isTTY && TERM !== 'dumb' && !isLogged;
}

/**
 * Starts a bar; nothing is shown where none can be drawn.
 * @param began when the work began, by performance.now()
 * @param done how much of `total` was done before that, which tells nothing of the time left
 */
export function startProgress(
  label: string,
  total: number,
  unit: string,
  began: number = performance.now(),
  done = 0,
): Progress {
  if (!drawsBars()) return silent;
  const bar = new SingleBar(
    {
      stream: process.stderr,
      format: `${label} {bar} {value}/{total} ${unit} · {left} left{text}`,
      hideCursor: true,
      clearOnComplete: true,
      barsize: 16,
    },
    Presets.shades_classic,
  );
  bar.start(total, done, { left: '…', text: '' });
  const stop = (): void => {
    bar.stop();
    forget(stop);
  };
  remember(stop);
  return {
    update(value, text) {
      const left = value > done ? duration(((performance.now() - began) / (value - done)) * (total - value)) : '…';
      bar.update(value, { left, text: text ? ` · ${text}` : '' });
    },
    stop,
  };
}

/** Counts measurements whose number is known only once the first is done. */
export interface Counter {
  update(done: number, total: number, text: string): void;
  stop(): void;
}

/** A bar in a terminal; elsewhere a line for each measurement, with the time left. */
export function startCounter(what = 'measured', unit = 'processes'): Counter {
  const began = performance.now();
  let bar: Progress | undefined;
  return {
    update(done, total, text) {
      if (drawsBars()) {
        bar ??= startProgress(what, total, unit, began);
        bar.update(done, text);
        return;
      }
      const left = duration(((performance.now() - began) / done) * (total - done));
      note(`${what} ${done}/${total}  ${text}  ${left} left`);
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}
