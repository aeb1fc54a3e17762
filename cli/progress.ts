/** @file Progress bars with the time left: on stderr, and only where someone looks. */

import { Presets, SingleBar } from 'cli-progress';
import { duration } from './output.js';

/** A bar that can be moved and ended. */
export interface Progress {
  update(done: number, text?: string): void;
  stop(): void;
}

const silent: Progress = { update: () => undefined, stop: () => undefined };

/** Starts a bar; nothing is shown where stderr is not a terminal. */
export function startProgress(label: string, total: number, unit: string): Progress {
  if (!process.stderr.isTTY) return silent;
  const began = performance.now();
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
