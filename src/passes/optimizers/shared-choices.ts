/** @file Options that several optimizers have, each with a default of its own. */

import { number, pair } from '../../choices.js';

/** A share that is kept. */
const isShare = (value: number): boolean => value >= 0 && value < 1;

const shareRange = 'at least 0 and below 1';

/** What the direction keeps of itself in a step: at least 0, below 1; 0 keeps none. */
export const momentum = number(
  { name: 'momentum', flag: '--momentum <x>', help: 'share of its direction that a step keeps of the one before' },
  shareRange,
  isShare,
);

/** What the averages of the gradient and of its square keep of themselves in a step. */
export const betas = pair(
  {
    name: 'betas',
    flag: '--betas <a,b>',
    help: 'shares that the averages of the gradient and of its square keep a step',
  },
  'beta',
  shareRange,
  isShare,
);

/** What the average of the gradient's square keeps of itself in a step. */
export const alpha = number(
  { name: 'alpha', flag: '--alpha <x>', help: "share that the average of the gradient's square keeps a step" },
  shareRange,
  isShare,
);

/** Added to the root of the averaged square. */
export const epsilon = number(
  { name: 'epsilon', flag: '--eps <x>', help: 'added to the root of the averaged square' },
  'above 0',
  (value) => value > 0,
);
