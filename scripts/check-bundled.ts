/** @file What check-package.sh bundles with esbuild and runs: threads of both kinds, from a file that densec is in. */

import { arrayDataset, densenet, Trainer } from 'densec';

async function main(): Promise<void> {
  const all = {
    images: new Uint8Array(16 * 64).map((_, at) => (at * 7) % 251),
    labels: Array(16).fill([0, 1]).flat().slice(0, 16),
  };
  const dataset = arrayDataset({ name: 'noise', channels: 1, imageSize: 8, train: all, test: all });
  const network = densenet({ blockConfig: [1], growthRate: 4, channels: 1, imageSize: 8, classes: 2 });
  const trainer = new Trainer(network, { save: 'bundled', force: true });
  for await (const event of trainer.train(dataset, { epochs: 1, batchSize: 4, validSize: 0, dataWorkers: 1 })) {
    if (event.event === 'result') console.log(`bundled: trained ${event.steps} steps`);
  }
}

main().catch((error: unknown) => {
  console.error(String(error));
  process.exitCode = 1;
});
