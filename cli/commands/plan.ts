/** @file densec plan: what is alive when, in the order in which the runtime will execute a bundle. */

import { Command, Option } from 'commander';
import { type MemoryPlan, planMemory } from '../../src/memory/plan.js';
import { type Bundle, openBundle } from '../../src/runtime/bundle/bundle.js';
import { compileAgain, plannedPeak } from '../../src/runtime/bundle/replan.js';
import { stepMicroseconds, targetOf } from '../../src/targets/index.js';
import { duration, megabytes, note, printFacts, printJson, printTable } from '../output.js';
import { wholeNumber } from '../parse.js';

/** How many of the tensors alive at the peak people are shown. */
const shownTensors = 12;

export function planCommand(): Command {
  return new Command('plan')
    .description('Predict the live bytes of a training step: inputs, state, activations, gradients and outputs.')
    .argument('<dir>', 'bundle that densec build wrote')
    .addOption(new Option('--batch-size <n>', 'images a step').argParser(wholeNumber(1)).makeOptionMandatory())
    .option('--json', 'print JSON: the peak, what is alive there, and the live bytes at each node')
    .action(async (directory: string, { batchSize, json }: { batchSize: number; json?: boolean }) => {
      const bundle = await openBundle(directory);
      if (bundle.manifest.remat === 'custom' && !bundle.manifest.recomputed && bundle.manifest.plan) {
        tellRecorded(bundle, batchSize, json ?? false);
        return;
      }
      const { schedules, target, kernels } = compileAgain(bundle);
      const plan = planMemory(schedules.training, batchSize);
      const stepMs = stepMicroseconds(schedules.training.graph.nodes, targetOf(target, kernels), batchSize) / 1000;
      const { solver } = bundle.manifest;
      if (json) printJson({ ...asJson(plan, batchSize, stepMs), ...(solver && { solver }) });
      else show(plan, batchSize, stepMs);
    });
}

/** Of a policy of one's own whose choice wasn't recorded only the peak is known. */
function tellRecorded(bundle: Bundle, batchSize: number, json: boolean): void {
  const predictedLivePeakBytes = plannedPeak(bundle, batchSize);
  if (json) printJson({ batchSize, predictedLivePeakBytes, peakAt: null, tensors: null, timeline: null });
  else {
    printFacts([
      ['batch size', batchSize],
      ['live peak', megabytes(predictedLivePeakBytes)],
    ]);
  }
  note("What is alive when isn't known: the policy is one's own, which only its program has; call planMemory there.");
}

function asJson(plan: MemoryPlan, batchSize: number, estimatedStepMs: number): object {
  return {
    batchSize,
    predictedLivePeakBytes: plan.peakBytes,
    estimatedStepMs,
    peakAt: plan.order[plan.peakAt],
    tensors: plan.tensors,
    timeline: plan.timeline.map((bytes, position) => ({ node: plan.order[position], bytes })),
  };
}

function show(plan: MemoryPlan, batchSize: number, stepMs: number): void {
  printFacts([
    ['batch size', batchSize],
    ['live peak', megabytes(plan.peakBytes)],
    ['reached at', `${plan.order[plan.peakAt]} (${plan.peakAt + 1} of ${plan.order.length} nodes)`],
    ['a step takes', `about ${duration(stepMs)}, estimated from a table of costs`],
  ]);
  const largest = plan.tensors.slice(0, shownTensors);
  const rest = plan.tensors.slice(shownTensors);
  printTable(
    ['alive there', 'MB'],
    [
      ...largest.map(({ name, bytes }): [string, string] => [name, (bytes / 1e6).toFixed(1)]),
      [`${rest.length} others`, (rest.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(1)],
    ],
  );
  note('The runtime takes more than is alive: its arena keeps what it once took, 30 to 100 % more.');
}
