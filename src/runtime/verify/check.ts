/** @file What a check says. */

/** The outcome of one check. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or what differs. */
  readonly detail: string;
}

/** A check's outcome without its name. */
export type Outcome = Omit<Check, 'name'>;

/** How many offenders a detail names. */
const named = 3;

/** The first few of many, in words. */
export function some(items: readonly string[]): string {
  const rest = items.length - named;
  return items.slice(0, named).join('; ') + (rest > 0 ? `; and ${rest} more` : '');
}

/** `1 node`, `2 nodes` */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
