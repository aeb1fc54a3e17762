/**
 * @file Our loss curve and PyTorch's in one picture: the same small network, initial weights and batches of real digits,
 * no augmentation. Writes docs/parity.svg and docs/parity.json.
 *
 *     npm run build && pip install torch==2.13.0 numpy && node bench/parity.mjs [STEPS]
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { axisX, axisY, frame, gridY, line } from '@observablehq/plot';
import {
  compile,
  densenet,
  loadDataset,
  makeBatch,
  TrainingModel,
  writeBundle,
  writeSafetensors,
} from '../dist/src/index.js';
import { epochOrder } from '../dist/src/runtime/data/batches.js';
import { svgDocument } from '../dist/src/runtime/report/panel.js';
import { plotFragment } from '../dist/src/runtime/report/plot.js';

const steps = Number(process.argv[2] ?? 200);
const batchSize = 32;
const learningRate = 0.02;
const seed = 1;
const threads = 1;
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'densec-parity-'));

try {
  const network = densenet({ blockConfig: [2, 2, 2], growthRate: 8, channels: 1 });
  const compiled = compile(network, { seed, remat: 'efficient' });
  const dataset = await loadDataset('mnist', { channels: 1 });
  const order = epochOrder(dataset.train.count, seed, 0).subarray(0, steps * batchSize);
  const ours = await ourLosses(network, compiled, dataset, order);
  const theirs = await torchLosses(compiled, makeBatch(dataset, dataset.train, order));
  const facts = {
    what: 'loss before each step of SGD (Nesterov momentum 0.9, weight decay 1e-4), DenseNet-BC 2,2,2 with growth rate 8, MNIST',
    command: `node bench/parity.mjs ${steps}`,
    ...{ steps, batchSize, learningRate, seed, threads, torch: theirs.torch },
    departureFromFloat64: {
      densec: departure(ours, theirs.losses.float64),
      torchFloat32: departure(theirs.losses.float32, theirs.losses.float64),
    },
    losses: { densec: ours, torchFloat32: theirs.losses.float32, torchFloat64: theirs.losses.float64 },
  };
  writeFileSync(join(root, 'docs/parity.json'), `${JSON.stringify(facts, rounded, 1)}\n`);
  writeFileSync(join(root, 'docs/parity.svg'), picture(facts));
  console.log(JSON.stringify(facts.departureFromFloat64, rounded));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function ourLosses(network, compiled, dataset, order) {
  const bundle = await writeBundle(join(folder, 'bundle'), network, compiled, { config: network.config });
  const model = await TrainingModel.open(bundle, compiled.initial, { threads });
  const losses = [];
  for (let step = 0; step < steps; step++) {
    const batch = makeBatch(dataset, dataset.train, order.subarray(step * batchSize, (step + 1) * batchSize));
    losses.push((await model.step(batch, { learningRate, step, seed })).loss);
  }
  await model.close();
  return losses;
}

async function torchLosses({ initial }, { images, labels }) {
  const [state, batches] = ['state', 'batches'].map((name) => join(folder, `${name}.safetensors`));
  await writeSafetensors(state, initial);
  await writeSafetensors(
    batches,
    new Map([
      ['images', images],
      ['labels', labels],
    ]),
  );
  const script = join(root, 'bench/peer/torch_densenet.py');
  const shape = ['--block-config', '2,2,2', '--growth-rate', '8', '--channels', '1', '--batch', String(batchSize)];
  const run = ['--lr', String(learningRate), '--threads', String(threads), '--state', state, '--batches', batches];
  const { status, stdout, stderr } = spawnSync('python3', [script, 'curve', ...shape, ...run], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** How far a curve is from another: the largest difference up to a step, and the mean over all. */
function departure(losses, reference) {
  const differences = losses.map((loss, step) => Math.abs(loss - reference[step]));
  const largest = (until) => Math.max(...differences.slice(0, until));
  const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
  return { largestIn10: largest(10), largestIn50: largest(50), largest: largest(steps), mean };
}

/** Above, the curves over each other; below, how far each float32 is from float64. */
function picture({ losses }) {
  const colors = { densec: '#d55e00', torchFloat32: '#0072b2', torchFloat64: '#333333' };
  const names = { densec: 'densec', torchFloat32: 'PyTorch', torchFloat64: 'PyTorch in float64' };
  const points = (name, figure) => losses[name].map((_, step) => ({ step: step + 1, value: figure(name, step) }));
  const [width, height] = [880, 300];
  const axes = (y, ticks) => [
    gridY({ stroke: '#333333', strokeOpacity: 0.12, ticks }),
    frame({ anchor: 'bottom', stroke: '#333333', strokeOpacity: 0.5 }),
    axisY({ label: null, tickSize: 0, ticks, fontSize: 11, ...y }),
    axisX({ label: 'step', labelAnchor: 'center', labelArrow: 'none', labelOffset: 36, fontSize: 11 }),
  ];
  const size = { width, height, marginTop: 52, marginRight: 20, marginBottom: 48, marginLeft: 64 };
  const value = (name, step) => losses[name][step];
  const difference = (name, step) => Math.max(1e-8, Math.abs(losses[name][step] - losses.torchFloat64[step]));
  const loss = plotFragment({
    ...size,
    y: { domain: [0, Math.max(...losses.torchFloat64, ...losses.densec)], nice: 5 },
    marks: [
      ...axes({}, 5),
      // The thinnest last: where curves agree, all three are seen.
      ...[
        ['torchFloat64', 5, 0.25],
        ['torchFloat32', 2.5, 0.9],
        ['densec', 1, 1],
      ].map(([name, strokeWidth, strokeOpacity]) =>
        line(points(name, value), { x: 'step', y: 'value', stroke: colors[name], strokeWidth, strokeOpacity }),
      ),
    ],
  });
  const apart = plotFragment({
    ...size,
    y: { type: 'log', domain: [1e-8, 1] },
    marks: [
      ...axes({ tickFormat: (power) => power.toExponential(0) }, 8),
      ...['torchFloat32', 'densec'].map((name) =>
        line(points(name, difference), { x: 'step', y: 'value', stroke: colors[name], strokeWidth: 1.5 }),
      ),
    ],
  });
  const heading = (text) => `<text x="16" y="26" font-size="14" font-weight="bold">${text}</text>`;
  const legend = (shown) =>
    shown.map((name, index) => {
      const x = width - 20 - 150 * (shown.length - index);
      return `<path d="M${x},22h22" stroke="${colors[name]}" stroke-width="2"/><text x="${x + 28}" y="26">${names[name]}</text>`;
    });
  const panel = (y, title, shown, fragment) =>
    `<g transform="translate(0,${y})">${heading(title)}${legend(shown).join('')}<g text-anchor="middle">${fragment}</g></g>`;
  const content = [
    panel(0, 'Training loss', ['densec', 'torchFloat32', 'torchFloat64'], loss),
    panel(height, 'Distance from PyTorch in float64', ['densec', 'torchFloat32'], apart),
  ];
  return `${svgDocument("densec's loss curve and PyTorch's", width, 2 * height, content.join(''))}\n`;
}

function rounded(_, value) {
  return typeof value === 'number' ? Number(value.toPrecision(8)) : value;
}
