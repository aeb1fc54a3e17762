/** @file How a training run is shown: a bar in a terminal, lines elsewhere, JSON for programs. */

import pc from 'picocolors';
import { formatError } from '../src/runtime/report/text.js';
import type { EpochEvent, EvaluationEvent, StepEvent, TrainEvent } from '../src/runtime/run/events.js';
import { type Task, tasks } from '../src/step/tasks.js';
import { otherFigures, printOutputs } from './figures.js';
import { duration, grouped, megabytes, note, percent, printFacts, printJson } from './output.js';
import { type Progress, startProgress } from './progress.js';

/** Shows events as they come. */
export interface TrainReporter {
  show(event: TrainEvent): void;
  stop(): void;
}

/** Shows nothing: of several processes, the first one tells. */
export function silentReporter(): TrainReporter {
  return { show: () => undefined, stop: () => undefined };
}

/** One JSON object a line on stdout. */
export function jsonReporter(): TrainReporter {
  return { show: printJson, stop: () => undefined };
}

/** A bar for the epoch or the evaluation in progress, and a line for each epoch that is done. */
/** @param task what the network tells, which says what its error is */
export function terminalReporter(task: Task): TrainReporter {
  const left = remainingTime();
  let bar: { readonly of: string; readonly progress: Progress } | undefined;
  const stop = (): void => {
    bar?.progress.stop();
    bar = undefined;
  };
  const barFor = (of: string, label: string, total: number, unit: string, done: number): Progress => {
    if (bar?.of !== of) {
      stop();
      bar = { of, progress: startProgress(label, total, unit, performance.now(), done) };
    }
    return (bar as { progress: Progress }).progress;
  };
  return {
    show(event) {
      if (event.event === 'step') {
        const { epoch, epochs, batch, batches } = event;
        const progress = barFor(`epoch ${epoch}`, `epoch ${epoch}/${epochs}`, batches, 'steps', batch - 1);
        progress.update(batch, `${runLeft(event, left(event))}${figures(event, task)}`);
      } else if (event.event === 'evaluation') {
        const progress = barFor(event.split, evaluationLabels[event.split], event.count, 'images', 0);
        progress.update(event.done);
      } else if (event.event === 'epoch' || event.event === 'result') {
        stop();
        showMilestone(event, task);
      }
    },
    stop,
  };
}

const evaluationLabels: Readonly<Record<EvaluationEvent['split'], string>> = {
  validation: 'validating',
  test: 'testing the best weights',
};

/** A line every `every` steps, and one for each epoch. */
export function lineReporter(every: number, task: Task): TrainReporter {
  const left = remainingTime();
  return {
    show(event) {
      if (event.event === 'epoch' || event.event === 'result') return showMilestone(event, task);
      if (event.event !== 'step') return;
      const ms = left(event);
      if (event.batch % every !== 0 && event.batch !== event.batches) return;
      const place = `epoch ${event.epoch}/${event.epochs}  step ${event.batch}/${event.batches}`;
      note(`${place}  ${runLeft(event, ms)}${figures(event, task)} · ${event.stepMs.toFixed(0)} ms/step`);
    },
    stop: () => undefined,
  };
}

/** Running averages of the epoch, speed and size. */
function figures(event: StepEvent, task: Task): string {
  const { meanLoss, meanError, gradientNorm, imagesPerSecond, memoryBytes } = event;
  const norm = gradientNorm === undefined ? '' : ` · gradient norm ${gradientNorm.toPrecision(3)}`;
  const averages = `loss ${meanLoss.toFixed(4)} · ${errorOf(task, meanError)}${norm}`;
  return `${averages} · ${speed(imagesPerSecond)} images/s · ${megabytes(memoryBytes)}`;
}

function speed(value: number): string {
  return value >= 100 ? grouped(Math.round(value)) : value.toPrecision(3);
}

function runLeft({ epoch, epochs }: StepEvent, ms: number): string {
  return epoch < epochs ? `run ${duration(ms)} left · ` : '';
}

/** Estimates what is left of a run in ms from the time since the first step it was told of, validations included. */
function remainingTime(): (event: StepEvent) => number {
  let first: { readonly position: number; readonly at: number } | undefined;
  return ({ epoch, epochs, batch, batches, stepMs }) => {
    const position = (epoch - 1) * batches + batch;
    first ??= { position: position - 1, at: performance.now() - stepMs };
    return ((performance.now() - first.at) / (position - first.position)) * (epochs * batches - position);
  };
}

function showMilestone(event: Extract<TrainEvent, { event: 'epoch' | 'result' }>, task: Task): void {
  if (event.event === 'epoch') note(epochLine(event, task));
  else if (event.testError !== undefined) {
    printFacts([
      [`test ${tasks[task].error}`, formatError(task, event.testError)],
      ...otherFigures('test ', event.testMetrics),
      ['test loss', (event.testLoss ?? 0).toFixed(4)],
      ['best epoch', event.bestEpoch ?? 0],
      ['waiting for data', percent(event.dataWait)],
      ...(event.processWaits
        ? [['waiting for each other, by process', event.processWaits.map(percent).join(', ')] as const]
        : []),
      ...(event.skippedImages > 0 ? [['images left out', event.skippedImages] as const] : []),
      ['saved in', event.save],
    ]);
    if (event.testOutputs) printOutputs(event.testOutputs);
  }
}

function epochLine(event: EpochEvent, task: Task): string {
  const training = `training: loss ${event.trainLoss.toFixed(4)}, ${errorOf(task, event.trainError)}`;
  const norm = event.gradientNorm === undefined ? '' : `gradient norm ${event.gradientNorm.toPrecision(3)}  `;
  const took = `${norm}${duration(event.seconds * 1000)}, ${percent(event.dataWait)} waiting for data`;
  const head = `epoch ${event.epoch}/${event.epochs}  ${training}`;
  if (event.validLoss === undefined || event.validError === undefined) return `${head}  ${took}`;
  const more = otherFigures('', event.validMetrics).map(([name, value]) => `, ${name} ${value}`);
  const valid = `validation: loss ${event.validLoss.toFixed(4)}, ${errorOf(task, event.validError)}${more.join('')}`;
  return `${head}  ${valid}  ${took}${event.best ? pc.green('  best so far') : ''}`;
}

/** A task's error with its name: `error 5.24 %`. */
function errorOf(task: Task, error: number): string {
  return `${tasks[task].error} ${formatError(task, error)}`;
}
