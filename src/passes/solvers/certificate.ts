/** @file What is proven of a plan within a memory budget. */

/** A plan within a budget, and how good it is known to be. */
export interface Certificate {
  /**
   * `optimal`: no plan within the budget costs less by the target's table of costs, of all choices and layouts that
   * docs/budgets.md counts. `feasible`: one may, by at most `gap`.
   */
  readonly status: 'optimal' | 'feasible';
  /** Most bytes that may be alive at once, in a step of `batchSize` images. */
  readonly budgetBytes: number;
  readonly batchSize: number;
  /** Bytes alive at the peak of the plan. */
  readonly peakBytes: number;
  /** The name of the table of costs: `default`, or when and where it was measured. */
  readonly costs: string;
  /** Microseconds of a step by that table. */
  readonly microseconds: number;
  /** Microseconds below which no plan within the budget is. */
  readonly boundMicroseconds: number;
  /** Share of the step's microseconds that a better plan could save at most. */
  readonly gap: number;
  /** Plans that were compiled to find it, and how many of these took more than the budget. */
  readonly tried: number;
  readonly refused: number;
  /** How long it took. */
  readonly seconds: number;
}
