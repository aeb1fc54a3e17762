/** @file How much of the time goes by waiting for data. */

/** Adds up waits and whole steps. */
export class WaitClock {
  private waited = 0;
  private whole = 0;

  /** A step of `whole` ms began with a wait of `waited` ms. */
  add(waited: number, whole: number): void {
    this.waited += waited;
    this.whole += whole;
  }

  reset(): void {
    this.waited = 0;
    this.whole = 0;
  }

  /** From 0 to 1; 0 before any step. */
  get share(): number {
    return this.whole > 0 ? this.waited / this.whole : 0;
  }
}
