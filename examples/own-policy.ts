/**
 * @file A memory policy of one's own: which results of the forward pass are computed again instead of kept.
 *
 *     npm run build && node dist/examples/own-policy.js FOLDER
 */

import { compile, densenet, type Node, planMemory, type RematPolicy, recomputeCheap, Trainer } from 'densec';
import { stripes } from './stripes.js';

const folder = process.argv[2] ?? 'runs/own-policy';
const network = densenet({ blockConfig: [4, 4], growthRate: 4, imageSize: 8, channels: 1, classes: 2 });

/** As `efficient`, but only where images still have their full height: there it saves the most. */
const fullSize: RematPolicy = (node: Node) => recomputeCheap(node) && node.outputs[0]?.type.shape[2] === 8;

const batchSize = 16;
for (const [name, remat] of Object.entries({ none: 'none', fullSize, efficient: 'efficient' } as const)) {
  const { peakBytes } = planMemory(compile(network, { remat }).training, batchSize);
  console.log(`${name}: ${(peakBytes / 1000).toFixed(0)} kB live at most`);
}

const trainer = new Trainer(network, { save: folder, remat: fullSize, force: true });
for await (const event of trainer.train(stripes([0, 1], 64), { epochs: 2, batchSize })) {
  if (event.event === 'result') console.log(`test error ${event.testError}`);
}
