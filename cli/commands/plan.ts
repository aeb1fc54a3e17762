/** @file densec plan: what is alive when, in the order in which the runtime will execute a bundle; pictures of it; what fits. */

import { Command, Option } from 'commander';
import { RequestError } from '../../src/ir/index.js';
import { arenaUse } from '../../src/memory/arena.js';
import { type MemoryPlan, planMemory } from '../../src/memory/plan.js';
import { type Bundle, openBundle } from '../../src/runtime/bundle/bundle.js';
import { compileAgain, plannedPeak } from '../../src/runtime/bundle/replan.js';
import { largestBatches } from '../../src/runtime/measure/largest-batches.js';
import { modelErrorOf, type SweptPlan, sweepPlans } from '../../src/runtime/measure/sweep-plans.js';
import { type Costs, defaultCosts, stepMicroseconds, targetOf } from '../../src/targets/index.js';
import { addCostsOption, costsOf } from '../costs.js';
import { duration, megabytes, note, printFacts, printJson, printTable } from '../output.js';
import { byteSize, wholeNumber } from '../parse.js';
import { checkPictures, type PictureFlags, writePictures } from '../plan-pictures.js';
import { fittingJson, requireFitting, showFitting, showSweep, tellTried } from '../plan-tables.js';
import { startCounter } from '../progress.js';
import { addRunOptions, type RunFlags, sessionOptions } from '../shared.js';

/** How many of the tensors alive at the peak people are shown. */
const shownTensors = 12;

interface Flags extends PictureFlags, RunFlags {
  readonly costs?: string;
  readonly batchSize?: number;
  readonly sweep?: boolean;
  readonly budgets?: number;
  readonly budgetSeconds?: number;
  readonly measure?: boolean;
  readonly maxBatch?: boolean;
  readonly memory?: number;
  readonly json?: boolean;
}

export function planCommand(): Command {
  const command = new Command('plan')
    .description('Predict the live bytes of a training step: inputs, state, activations, gradients and outputs.')
    .argument('<dir>', 'bundle that densec build wrote')
    .addOption(new Option('--batch-size <n>', 'images a step').argParser(wholeNumber(1)))
    .option(
      '--html <file>',
      'write a page: memory over the step by what it is, what makes the peak, names at the pointer',
    )
    .option('--svg <file>', 'write the picture alone')
    .option('--force', 'replace files that exist')
    .option(
      '--sweep',
      'also plan by each policy and within budgets from the least that is possible: modelled time against peak',
    )
    .addOption(new Option('--budgets <n>', 'how many budgets (default: 8)').argParser(wholeNumber(1)))
    .addOption(
      new Option(
        '--budget-seconds <n>',
        'how long to look for the best plan within each, or of each batch size that --max-batch tries (default: 20)',
      ).argParser(wholeNumber(1)),
    )
    .option('--measure', 'measure steps of each of these plans too, in processes of their own')
    .option('--max-batch', 'tell the largest batch size of each policy, and of any plan, that fits into --memory')
    .addOption(new Option('--memory <size>', 'how much that is, as in 8GB, 400MiB or bytes').argParser(byteSize))
    .option('--json', 'print JSON: the peak, what is alive there, and the live bytes at each node')
    .addHelpText('after', help);
  return addRunOptions(addCostsOption(command)).action(run);
}

const help = `
Examples:
  densec plan bc100 --batch-size 64
  densec plan bc100 --batch-size 64 --html memory.html
  densec plan bc100 --batch-size 64 --sweep --measure --html sweep.html
  densec plan bc100 --max-batch --memory 8GB`;

async function run(directory: string, flags: Flags): Promise<void> {
  const { batchSize, maxBatch, memory, json } = flags;
  if (maxBatch && memory === undefined) {
    throw new RequestError('--max-batch asks what fits into some memory; give it, as in --memory 8GB');
  }
  if (memory !== undefined && !maxBatch) {
    throw new RequestError('--memory is what --max-batch fits batches into; give --max-batch too, or drop it');
  }
  for (const [flag, value] of [
    ['--measure', flags.measure],
    ['--budgets', flags.budgets],
    ['--budget-seconds', maxBatch ? undefined : flags.budgetSeconds],
  ] as const) {
    if (value !== undefined && !flags.sweep) {
      throw new RequestError(`${flag} is for the plans of a sweep; give --sweep too, or drop it`);
    }
  }
  if (batchSize === undefined && (!maxBatch || flags.sweep || flags.html !== undefined || flags.svg !== undefined)) {
    throw new RequestError(
      'a plan is for a step of so many images; give --batch-size N, or --max-batch --memory SIZE to look for it',
    );
  }
  await checkPictures(flags);
  const bundle = await openBundle(directory);
  const costs = await costsOf(flags, bundle.manifest.target);
  const planned = batchSize === undefined ? {} : await plan(bundle, batchSize, flags, costs);
  if (memory === undefined) {
    if (json) printJson(planned);
    return;
  }
  const seconds = flags.budgetSeconds ?? 20;
  const rows = await largestBatches(bundle, memory, {
    seconds,
    costs,
    onTried: (size, fits) => tellTried(size, fits, memory),
  });
  const fitting = requireFitting(rows, memory);
  if (json) printJson({ ...planned, ...fittingJson(fitting, memory) });
  else showFitting(fitting, memory);
}

/** Plans a step, shows it to people and draws it. @returns what JSON says of it */
async function plan(bundle: Bundle, batchSize: number, flags: Flags, costs: Costs): Promise<object> {
  if (bundle.manifest.remat === 'custom' && !bundle.manifest.recomputed && bundle.manifest.plan) {
    return tellRecorded(bundle, batchSize, flags);
  }
  const compiled = compileAgain(bundle, costs);
  const { schedules, target, kernels } = compiled;
  const found = planMemory(schedules.training, batchSize);
  const priced = targetOf(target, kernels, costs);
  const stepMs = stepMicroseconds(schedules.training.graph.nodes, priced, batchSize) / 1000;
  // The model is held against a card's allocator only.
  const arena = target === 'cuda' ? arenaUse(schedules.training, batchSize, priced.workspace).peakBytes : undefined;
  if (!flags.json) show(found, batchSize, { stepMs, costs, arenaBytes: arena });
  const swept = flags.sweep ? await sweep(bundle, batchSize, flags, costs) : undefined;
  if (swept && !flags.json) showSweep(swept);
  await writePictures(bundle, compiled, batchSize, flags, swept);
  const { solver } = bundle.manifest;
  return {
    ...asJson(found, batchSize, stepMs, arena),
    costs: costs.name,
    ...(solver && { solver }),
    ...(swept && { sweep: swept, ...(flags.measure && { modelError: modelErrorOf(swept) }) }),
  };
}

async function sweep(bundle: Bundle, batchSize: number, flags: Flags, costs: Costs): Promise<readonly SweptPlan[]> {
  let counter = startCounter('planned', 'plans');
  try {
    return await sweepPlans(bundle, {
      batchSize,
      costs,
      budgets: flags.budgets ?? 8,
      seconds: flags.budgetSeconds ?? 20,
      onPlan: (done, total, what) => {
        counter.update(done, total, what);
        if (done < total) return;
        // Measurements tell the time that is left by when they began.
        counter.stop();
        counter = startCounter();
      },
      ...(flags.measure && {
        measure: sessionOptions(flags),
        onMeasured: (done, total, what) => counter.update(done, total, what),
      }),
    });
  } finally {
    counter.stop();
  }
}

/** Of a policy of one's own whose choice wasn't recorded only the peak is known. */
function tellRecorded(bundle: Bundle, batchSize: number, { html, svg, sweep, json }: Flags): object {
  const unknown =
    "What is alive when isn't known: the policy is one's own, which only its program has; call planMemory there.";
  if (html !== undefined || svg !== undefined || sweep) {
    throw new RequestError(`there is nothing to ${sweep ? 'compare' : 'draw'}. ${unknown}`);
  }
  const predictedLivePeakBytes = plannedPeak(bundle, batchSize);
  if (!json) {
    printFacts([
      ['batch size', batchSize],
      ['live peak', megabytes(predictedLivePeakBytes)],
    ]);
  }
  note(unknown);
  return { batchSize, predictedLivePeakBytes, peakAt: null, tensors: null, timeline: null };
}

function asJson(
  plan: MemoryPlan,
  batchSize: number,
  estimatedStepMs: number,
  estimatedArenaBytes: number | undefined,
): object {
  return {
    batchSize,
    predictedLivePeakBytes: plan.peakBytes,
    estimatedStepMs,
    ...(estimatedArenaBytes !== undefined && { estimatedArenaBytes }),
    peakAt: plan.order[plan.peakAt],
    tensors: plan.tensors,
    timeline: plan.timeline.map((bytes, position) => ({ node: plan.order[position], bytes })),
  };
}

/** What a step is estimated to take. */
interface Estimate {
  readonly stepMs: number;
  readonly costs: Costs;
  /** Bytes that a card's allocator hands out. */
  readonly arenaBytes: number | undefined;
}

function show(plan: MemoryPlan, batchSize: number, { stepMs, costs, arenaBytes }: Estimate): void {
  printFacts([
    ['batch size', batchSize],
    ['live peak', megabytes(plan.peakBytes)],
    ['reached at', `${plan.order[plan.peakAt]} (${plan.peakAt + 1} of ${plan.order.length} nodes)`],
    [
      'a step takes',
      `about ${duration(stepMs)}, estimated by ${costs.name === defaultCosts ? 'the default table of costs' : `costs ${costs.name}`}`,
    ],
    ...(arenaBytes === undefined
      ? []
      : [['on the card', `about ${megabytes(arenaBytes)} handed out by its allocator, estimated`] as const]),
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
