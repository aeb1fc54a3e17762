/** @file The files that densec plan draws. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Compiled } from '../src/compile.js';
import { FailureError, RequestError } from '../src/ir/index.js';
import { stepMemory } from '../src/memory/step-memory.js';
import type { Bundle } from '../src/runtime/bundle/bundle.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import type { SweptPlan } from '../src/runtime/measure/sweep-plans.js';
import { renderPlanPage, renderPlanPicture, renderSweepPicture } from '../src/runtime/report/index.js';
import { targetOf } from '../src/targets/index.js';
import { note } from './output.js';

/** Which files to draw. */
export interface PictureFlags {
  readonly html?: string;
  readonly svg?: string;
  readonly force?: boolean;
}

/**
 * Looks at the files before anything is computed.
 * @throws RequestError where both are the same; FailureError where one exists and may not be replaced
 */
export async function checkPictures({ html, svg, force }: PictureFlags): Promise<void> {
  if (html !== undefined && svg !== undefined && resolve(html) === resolve(svg)) {
    throw new RequestError(`--html and --svg both name ${html}; give each a file of its own`);
  }
  for (const file of [html, svg]) {
    if (file === undefined || force) continue;
    const exists = await stat(file).then(
      () => true,
      () => false,
    );
    if (exists) throw new FailureError(`${file} exists already; choose another name, or --force to replace it`);
  }
}

/** Draws a step's memory, or a sweep, into the files that flags ask for. @throws FailureError when one can't be written */
export async function writePictures(
  { manifest }: Bundle,
  { schedules, target, kernels, costs }: Compiled,
  batchSize: number,
  { html, svg }: PictureFlags,
  swept: readonly SweptPlan[] | undefined,
): Promise<void> {
  if (html === undefined && svg === undefined) return;
  const memory = stepMemory(schedules.training, targetOf(target, kernels, costs), batchSize);
  const what = { name: manifest.name, remat: manifest.remat, target, swept };
  for (const [file, text] of [
    [html, () => renderPlanPage(memory, what)],
    [svg, () => (swept ? renderSweepPicture(swept, what.name, batchSize) : renderPlanPicture(memory, what))],
  ] as const) {
    if (file === undefined) continue;
    await writeFileAtomic(file, text());
    note(`wrote ${file}`);
  }
}
