/** @file What a metric is made by: a meter that takes batch after batch. */

/** Figures of one label or value. Those that can't be told are null: there must be images with and without a label. */
export type OutputFigures = Readonly<Record<string, number | null>>;

/** What a task's meter measures beside loss and error. */
export interface Metrics {
  /** By their names in JSON and checkpoints; those that can't be told are absent. */
  readonly summary: Readonly<Record<string, number>>;
  /** The same for each label or value, in their order. */
  readonly outputs?: readonly OutputFigures[];
}

/** Takes the outputs and targets of images, batch by batch. */
export interface Meter {
  /**
   * @param outputs (N, K), row by row
   * @param targets a class each, or (N, K) targets
   */
  add(outputs: Float32Array, targets: ArrayLike<number | bigint>): void;
  metrics(): Metrics;
}
