/** @file Progress bars with the time left: on stderr, and only where someone looks. */

import { Presets, SingleBar } from 'cli-progress';
import { duration, note } from './output.js';

/** A bar that can be moved and ended. */
export interface Progress {
  update(done: number, text?: string): void;
  stop(): void;
}

const silent: Progress = { update: () => undefined, stop: () => undefined };

/** Starts a bar, of work that began at `began` (by performance.now()); nothing is shown where stderr is not a terminal. */
export function startProgress(label: string, total: number, unit: string, began: number = performance.now()): Progress {
  if (!process.stderr.isTTY) return silent;
  const bar = new SingleBar(
    {
      stream: process.stderr,
      format: `${label} {bar} {value}/{total} ${unit} · {left} left{text}`,
      hideCursor: true,
      clearOnComplete: true,
      barsize: 24,
    },
    Presets.shades_classic,
  );
  bar.start(total, 0, { left: '…', text: '' });
  return {
    update(done, text) {
      const left = done > 0 ? duration(((performance.now() - began) / done) * (total - done)) : '…';
      bar.update(done, { left, text: text ? ` · ${text}` : '' });
    },
    stop: () => bar.stop(),
  };
}

/** Counts measurements whose number is known only once the first is done. */
export interface Counter {
  update(done: number, total: number, text: string): void;
  stop(): void;
}

/** A bar in a terminal; elsewhere a line for each measurement, with the time left. */
export function startCounter(): Counter {
  const began = performance.now();
  let bar: Progress | undefined;
  return {
    update(done, total, text) {
      if (process.stderr.isTTY) {
        bar ??= startProgress('measuring', total, 'processes', began);
        bar.update(done, text);
        return;
      }
      const left = duration(((performance.now() - began) / done) * (total - done));
      note(`measured ${done}/${total}  ${text}  ${left} left`);
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}
