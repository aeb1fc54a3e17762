/** @file Which of the runtime's optimizers change a model, and which of them undo its plan. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Bundle } from '../../src/runtime/bundle/bundle.js';
import { verify } from '../../src/runtime/verify/index.js';
import type { Level } from './profile.js';

const run = promisify(execFile);

/** Loads a model; the runtime tells on stderr what each optimizer did. */
const script = `
  const { InferenceSession } = require('onnxruntime-node');
  const [model, graphOptimizationLevel] = process.argv.slice(1);
  InferenceSession.create(model, { graphOptimizationLevel, logSeverityLevel: 1 }).then((session) => session.release());
`;

/** Rules that the runtime applies as parts of one optimizer, by the names under which they can be left out. */
const rules = [
  'EliminateIdentity',
  'EliminateSlice',
  'UnsqueezeElimination',
  'EliminateDropout',
  'ExpandElimination',
  'CastElimination',
  'CastChainElimination',
  'NoopElimination',
  'DivMulFusion',
  'FuseReluClip',
  'GemmSumFusion',
  'GemmTransposeFusion',
  'NotWhereFusion',
  'ConcatSliceElimination',
  'PreShapeNodeElimination',
  'ConvAddFusion',
  'ConvMulFusion',
  'ConvBNFusion',
  'PadFusion',
  'MatmulBNFusion',
];

/** Names of the optimizers that change a bundle's training model at a level. */
export async function changingOptimizers({ training }: Bundle, level: Level): Promise<string[]> {
  const { stderr } = await run(process.execPath, ['-e', script, training, level], { maxBuffer: 2 ** 28 });
  const told = [...stderr.matchAll(/GraphTransformer (\S+) modified: (\d)/g)];
  // At the level disabled the runtime runs none; else it tells of each, or tells otherwise than it did.
  if (told.length === 0 && level !== 'disabled')
    throw new Error('the runtime does not tell of its optimizers any more');
  return [...new Set(told.flatMap(([, name = '', changed]) => (changed === '1' ? [name] : [])))].sort();
}

/** Names of the optimizers without any one of which the plan of a bundle would hold at a level. */
export async function culprits(bundle: Bundle, level: Level): Promise<string[]> {
  const changing = await changingOptimizers(bundle, level);
  const candidates = changing.flatMap((name) => (name.includes('RuleBased') ? rules : [name]));
  const found: string[] = [];
  for (const name of candidates) {
    const failed = await failuresOf(bundle, [name]);
    const at = (other: Level): string[] =>
      failed.flatMap((failure) => (failure.includes(`, ${other}: `) ? [failure.split(',')[0] ?? ''] : []));
    // What fails where nothing is optimized is no optimizer's fault.
    if (at(level).every((check) => at('disabled').includes(check))) found.push(name);
  }
  return found.length > 0 ? found : [`several of ${changing.join(', ')}`];
}

/** What doesn't hold of a bundle's plan, leaving out some of the runtime's optimizers. */
export async function failuresOf(bundle: Bundle, without: readonly string[] = []): Promise<string[]> {
  const failed: string[] = [];
  for await (const { name, ok, detail } of verify(bundle, { threads: 1, disabledOptimizers: without })) {
    if (!ok) failed.push(`${name}: ${detail}`);
  }
  return failed;
}
