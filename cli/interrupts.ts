/** @file What Ctrl-C and its like ask of a training run. */

import { note } from './output.js';

/** A request to stop a run that is passed on once, and said so. */
export function stopNoted(stop: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    stop();
    note(
      '\nfinishing the step, then saving … (once more to quit at once, without the steps since the last checkpoint)',
    );
  };
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Turns Ctrl-C, SIGTERM and a closed terminal (SIGHUP) into a request to stop; a second one of the first two ends the process
 * at once.
 * @param end called right before this process ends
 * @returns ends the watching
 */
export function watchInterrupts(stop: () => void, end: () => void = () => undefined): () => void {
  let asked = false;
  const listener = (signal: NodeJS.Signals): void => {
    if (!asked) {
      asked = true;
      stop();
      return;
    }
    // The kernel and the shell may both tell of a closed terminal; nobody is there to be in a hurry.
    if (signal === 'SIGHUP') return;
    // The signal's own end of the process: no file of the run is ever half written, and a step can't be left otherwise.
    note('quitting at once; the last checkpoint is whole');
    end();
    stopWatching();
    process.kill(process.pid, signal);
  };
  const stopWatching = (): void => {
    for (const signal of signals) process.off(signal, listener);
  };
  for (const signal of signals) process.on(signal, listener);
  return stopWatching;
}
