/** @file Colours of what memory is for, on light and on dark ground, in files of their own and on pages. */

import type { Phase } from '../../../ir/index.js';
import { type MemoryKind, memoryKinds } from '../../../memory/step-memory.js';

/** On light ground, as attributes: viewers that read no style sheet show these. Told apart by colour-blind readers. */
export const kindColors: Readonly<Record<MemoryKind, string>> = {
  state: '#8d99ae',
  kept: '#2a6f97',
  recomputed: '#edae49',
  gradients: '#c8414f',
  workspace: '#83bfa0',
};

/** On dark ground. */
const darkKindColors: Readonly<Record<MemoryKind, string>> = {
  state: '#78849a',
  kept: '#3f93c6',
  recomputed: '#dba03f',
  gradients: '#d9626d',
  workspace: '#76b596',
};

/** What a kind is called, and what it is. */
export const kindWords: Readonly<Record<MemoryKind, readonly [name: string, meaning: string]>> = {
  state: ['state', 'parameters, what the optimizer keeps, running statistics, the batch and results'],
  kept: ['kept', 'made by the forward pass and kept for the backward pass'],
  recomputed: ['recomputed', 'made again instead of being kept'],
  gradients: ['gradients', 'made by the backward pass, of activations and of parameters'],
  workspace: [
    'workspace',
    'made and read within one pass: what no gradient needs, and what parts of one operator hand on',
  ],
};

/** The phases, in the order of their lanes. */
export const phases: readonly Phase[] = ['forward', 'recompute', 'backward', 'update'];

const dark = [
  'color: #e4e4e4; fill: #e4e4e4;',
  ...memoryKinds.map((kind) => `.${kind} { fill: ${darkKindColors[kind]}; }`),
  '.ground { fill: #16181c; }',
];

/**
 * The style sheet of pictures: presentation attributes are those of light ground, and rules take over in the dark, but on
 * paper.
 * @param within selector of the pictures' svg elements
 */
export function pictureStyle(within: string): string {
  const rules = dark.map((rule) => (rule.startsWith('.') ? `${within} ${rule}` : `${within} { ${rule} }`));
  return `@media screen and (prefers-color-scheme: dark) {\n  ${rules.join('\n  ')}\n}`;
}
