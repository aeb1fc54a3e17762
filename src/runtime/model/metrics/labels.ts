/** @file Metrics of labels of which an image may have several: the area under the ROC curve, and F1 where ½ divides. */

import type { Meter, Metrics, OutputFigures } from './definition.js';

/** Keeps all logits, since areas go by their ranks among all images. */
export class LabelMeter implements Meter {
  private readonly batches: { readonly outputs: Float32Array; readonly targets: Float32Array }[] = [];
  private count = 0;

  constructor(private readonly labels: number) {}

  add(outputs: Float32Array, targets: ArrayLike<number | bigint>): void {
    this.batches.push({ outputs: outputs.slice(), targets: Float32Array.from(targets as ArrayLike<number>) });
    this.count += outputs.length / this.labels;
  }

  metrics(): Metrics {
    const outputs = Array.from({ length: this.labels }, (_, label): OutputFigures => {
      const { logits, isPresent } = this.column(label);
      const positives = isPresent.reduce((sum, present) => sum + present, 0);
      return { auc: areaUnderCurve(logits, isPresent), f1: f1(logits, isPresent), positives };
    });
    const mean = (name: string): number | undefined => {
      const known = outputs.flatMap((each) => each[name] ?? []);
      return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length;
    };
    const [meanAuc, meanF1] = [mean('auc'), mean('f1')];
    return { summary: { ...(meanAuc !== undefined && { meanAuc }), ...(meanF1 !== undefined && { meanF1 }) }, outputs };
  }

  private column(label: number): { readonly logits: Float64Array; readonly isPresent: Uint8Array } {
    const logits = new Float64Array(this.count);
    const isPresent = new Uint8Array(this.count);
    let image = 0;
    for (const { outputs, targets } of this.batches) {
      for (let at = label; at < outputs.length; at += this.labels, image++) {
        logits[image] = outputs[at] as number;
        isPresent[image] = (targets[at] as number) > 0.5 ? 1 : 0;
      }
    }
    return { logits, isPresent };
  }
}

/**
 * The share of pairs of an image that has a label and one that hasn't in which the first has the larger logit, equal
 * ones counting half (Mann and Whitney). By ranks: equal logits share the mean of theirs.
 * @returns null where there are no such pairs; NaN where a logit is no number
 */
export function areaUnderCurve(logits: ArrayLike<number>, isPresent: ArrayLike<number>): number | null {
  if (Array.from(logits).some(Number.isNaN)) return Number.NaN;
  const order = Uint32Array.from({ length: logits.length }, (_, index) => index);
  const at = (place: number): number => logits[order[place] as number] as number;
  order.sort((a, b) => (logits[a] as number) - (logits[b] as number));
  let [positives, rankSum] = [0, 0];
  for (let first = 0; first < order.length; ) {
    let end = first + 1;
    while (end < order.length && at(end) === at(first)) end++;
    // Ranks from 1 on: those of first to end − 1 have this mean.
    const rank = (first + 1 + end) / 2;
    for (let place = first; place < end; place++) {
      if (isPresent[order[place] as number] !== 1) continue;
      positives++;
      rankSum += rank;
    }
    first = end;
  }
  const negatives = logits.length - positives;
  if (positives === 0 || negatives === 0) return null;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** 2·TP / (2·TP + FP + FN), where a positive logit says that the label is there; null where it is nowhere, nor said to be. */
function f1(logits: ArrayLike<number>, isPresent: ArrayLike<number>): number | null {
  let [hits, wrong] = [0, 0];
  for (let image = 0; image < logits.length; image++) {
    const isSaid = (logits[image] as number) > 0;
    const isThere = isPresent[image] === 1;
    if (isSaid && isThere) hits++;
    else if (isSaid !== isThere) wrong++;
  }
  return hits + wrong === 0 ? null : (2 * hits) / (2 * hits + wrong);
}
