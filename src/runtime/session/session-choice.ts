/** @file Which options of the runtime a model is run with, and why: the one place that decides it. */

/** The runtime's levels of graph optimization, from none to all. */
export const optimizationLevels = ['disabled', 'basic', 'extended', 'all'] as const;

export type OptimizationLevel = (typeof optimizationLevels)[number];

/** Options of a session that decide its memory and speed. */
export interface SessionChoice {
  /** How much the runtime may rewrite the graph; `disabled` runs exactly the planned nodes in the planned order. */
  readonly optimization: OptimizationLevel;
  /** Whether the runtime packs buffers by the pattern of the first run. */
  readonly memoryPattern: boolean;
}

/** What each of a bundle's models is run with; `densec bench --sweep` measures the alternatives. */
export const sessionChoices: Readonly<Record<'training' | 'evaluation', SessionChoice & { readonly reason: string }>> =
  {
    training: {
      optimization: 'disabled',
      memoryPattern: false,
      reason:
        'the compiler has fused and ordered the nodes already, so a higher level only makes loading slower; ' +
        'packing buffers by the pattern of the first run comes on top of what that run took',
    },
    evaluation: {
      optimization: 'all',
      memoryPattern: false,
      reason: 'nothing is pinned in evaluation, so the runtime may fuse as it likes; buffers as in training',
    },
  };

/** Session options in few words. */
export function describeChoice({ optimization, memoryPattern }: SessionChoice): string {
  return `level ${optimization}, memory pattern ${memoryPattern ? 'on' : 'off'}`;
}
