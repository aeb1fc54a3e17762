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

const swatches = memoryKinds.map((kind) => `i.${kind} { background: ${kindColors[kind]}; }`);
const darkSwatches = memoryKinds.map((kind) => `  i.${kind} { background: ${darkKindColors[kind]}; }`);

/** What the page about a step's memory adds to the report's style sheet. */
export const pageStyle = `${pictureStyle('.memory svg')}
${swatches.join('\n')}
@media screen and (prefers-color-scheme: dark) {
  figure.memory { background: #16181c; }
${darkSwatches.join('\n')}
}
i { display: inline-block; width: 0.75em; height: 0.75em; margin-right: 0.45em; border-radius: 2px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
figure.step { overflow: hidden; touch-action: pan-y; }
figure.narrow { display: none; }
.figures dd { overflow-wrap: anywhere; }
#explore { margin: 0.75rem 0; padding: 0.75rem 1rem; border: 1px solid var(--line); border-radius: 6px; min-height: 21rem; font-size: 0.9rem; }
#explore p { margin: 0.3rem 0; }
.control { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 0.75rem; }
.control input { flex: 1 1 12rem; }
.control button { font: inherit; }
#reading { overflow-wrap: anywhere; }
#reading ul { margin: 0.4rem 0; padding: 0; list-style: none; }
#reading .kinds span { display: inline-block; margin-right: 1rem; }
.node, small { color: var(--faint); }
.bytes { display: inline-block; min-width: 5em; margin-right: 0.75em; text-align: right; font-variant-numeric: tabular-nums; }
dl.kinds { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0.3rem 1.5rem; margin: 1rem 0 0; font-size: 0.875rem; }
dl.kinds div { display: flex; gap: 0.5rem; }
dl.kinds dt { flex: 0 0 7.5rem; font-weight: 600; }
dl.kinds dd { margin: 0; color: var(--faint); }
h3 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
.parts, .tensors { margin-top: 0.75rem; font-variant-numeric: tabular-nums; }
.parts td, .parts th + th, .tensors td + td, .tensors th:nth-child(n + 3) { text-align: right; white-space: nowrap; }
.tables { display: flex; flex-wrap: wrap; gap: 0 3rem; }
.tensors th[scope='row'] { overflow-wrap: anywhere; }
.tensors th[scope='row'], .parts th[scope='row'] { font-weight: normal; }
@media (max-width: 40rem) {
  figure.wide { display: none; }
  figure.narrow { display: block; }
}
.wide svg { min-width: 0; }
@media print {
  :root { color-scheme: light; --ink: #222; --faint: #555; --ground: #fff; --line: #ccc; }
  #explore { display: none; }
  figure.wide { display: block; break-inside: avoid; }
  figure.narrow { display: none; }
  tr { break-inside: avoid; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}`;
