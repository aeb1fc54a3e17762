/** @file How a training run is shown: a bar in a terminal, lines elsewhere, JSON for programs. */

import pc from 'picocolors';
import type { TrainEvent } from '../src/runtime/train.js';
import { duration, note, percent, printFacts, printJson } from './output.js';
import { type Progress, startProgress } from './progress.js';

/** Shows events as they come. */
export interface TrainReporter {
  show(event: TrainEvent): void;
  stop(): void;
}

/** One JSON object a line on stdout. */
export function jsonReporter(): TrainReporter {
  return { show: printJson, stop: () => undefined };
}

/** A bar for the epoch in progress, and a line for each that is done. */
export function terminalReporter(): TrainReporter {
  let bar: Progress | undefined;
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return {
    show(event) {
      if (event.event === 'step') {
        bar ??= startProgress(`epoch ${event.epoch}/${event.epochs}`, event.batches, 'steps');
        const figures = `loss ${event.meanLoss.toFixed(4)} · error ${percent(event.meanError)}`;
        bar.update(event.batch, `${figures} · ${Math.round(event.imagesPerSecond)} images/s`);
        return;
      }
      stop();
      showMilestone(event);
    },
    stop,
  };
}

/** A line every `every` steps, and one for each epoch. */
export function lineReporter(every: number): TrainReporter {
  return {
    show(event) {
      if (event.event !== 'step') return showMilestone(event);
      if (event.batch % every !== 0 && event.batch !== event.batches) return;
      const place = `epoch ${event.epoch}/${event.epochs}  step ${event.batch}/${event.batches}`;
      note(
        `${place}  loss ${event.meanLoss.toFixed(4)}  error ${percent(event.meanError)}  ${event.stepMs.toFixed(0)} ms/step`,
      );
    },
    stop: () => undefined,
  };
}

function showMilestone(event: Exclude<TrainEvent, { event: 'step' }>): void {
  if (event.event === 'epoch') {
    const valid =
      event.validLoss === undefined
        ? ''
        : `  validation: loss ${event.validLoss.toFixed(4)}, error ${percent(event.validError ?? 0)}`;
    const training = `training: loss ${event.trainLoss.toFixed(4)}, error ${percent(event.trainError)}`;
    const best = event.best && valid ? pc.green('  best so far') : '';
    note(`epoch ${event.epoch}/${event.epochs}  ${training}${valid}  ${duration(event.seconds * 1000)}${best}`);
  }
  if (event.event === 'result' && event.testError !== undefined) {
    printFacts([
      ['test error', percent(event.testError)],
      ['test loss', (event.testLoss ?? 0).toFixed(4)],
      ['best epoch', event.bestEpoch ?? 0],
      ['saved in', event.save],
    ]);
  }
}
