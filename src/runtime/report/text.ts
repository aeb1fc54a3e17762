/** @file Text and figures as curves and report show them. */

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** The text as it may stand in an element or in a quoted attribute. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** A fraction in percent, such as '5.24 %'; '–' where there is none. */
export function formatPercent(fraction: number | undefined): string {
  if (fraction === undefined) return '–';
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(2)} %` : String(fraction);
}

/** A loss with four digits after the point, large ones with an exponent; '–' where there is none. */
export function formatLoss(loss: number | undefined): string {
  if (loss === undefined) return '–';
  return Math.abs(loss) < 1e6 ? loss.toFixed(4) : loss.toPrecision(4);
}
