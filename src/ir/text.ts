/** @file A line of a graph's text, read from left to right; its errors say the line, what was found and what was expected. */

import { FailureError } from './errors.js';
import { printInputName } from './print.js';

/** A number as graphs are printed with. */
const number = /^(?:-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Infinity)|NaN)$/;

/** How much of a line an error shows. */
const shownCharacters = 40;

/** A tensor as it is written: its elements get a type only from the value that it is for. */
export interface WrittenTensor {
  readonly shape: readonly number[];
  readonly elements: readonly string[];
}

/** One line and how far it has been read. Blanks between its parts don't matter. */
export class Line {
  private at = 0;

  constructor(
    /** What is read, for errors. */
    private readonly source: string,
    /** From 1. */
    private readonly position: number,
    private readonly text: string,
  ) {
    this.skipBlanks();
  }

  /** Whether everything has been read. */
  get done(): boolean {
    return this.at >= this.text.length;
  }

  /** An error at this line. */
  error(message: string): FailureError {
    return new FailureError(`${this.source}, line ${this.position}: ${message}`);
  }

  /** The error that something else stands where the reader is. */
  unexpected(expected: string): FailureError {
    const rest = this.text.slice(this.at);
    const shown = rest.length > shownCharacters ? `${rest.slice(0, shownCharacters)}…` : rest;
    return this.error(`found ${this.done ? 'the end of the line' : shown}, expected ${expected}`);
  }

  /** Reads a sign or word if it comes next. */
  takes(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false;
    this.at += text.length;
    this.skipBlanks();
    return true;
  }

  /** Reads a sign that must come next. @throws FailureError when another does */
  take(text: string, expected = text): void {
    if (!this.takes(text)) throw this.unexpected(expected);
  }

  /** Reads to the end. @throws FailureError when anything is left */
  end(): void {
    if (!this.done) throw this.unexpected('the end of the line');
  }

  /** Reads a word: letters, digits and signs that mean nothing of themselves. @throws FailureError when none comes */
  word(expected: string): string {
    return this.match(/[^\s\p{C}"%{}()[\],=#:?]+/uy, expected);
  }

  /** Reads one of some words. @throws FailureError when none of them comes */
  oneOf<T extends string>(words: readonly T[]): T {
    const start = this.at;
    const found = this.done ? '' : this.word(words.join(', '));
    const word = words.find((each) => each === found);
    if (word !== undefined) return word;
    this.at = start;
    throw this.unexpected(words.length > 1 ? `one of ${words.join(', ')}` : (words[0] ?? ''));
  }

  /** Reads a name, plain or in quotes. @throws FailureError when none comes */
  name(expected: string): string {
    if (this.text[this.at] !== '"') return this.word(expected);
    const start = this.at;
    const quoted = this.match(/"(?:[^"\\]|\\.)*"/y, expected);
    try {
      return JSON.parse(quoted) as string;
    } catch {
      this.at = start;
      throw this.unexpected(expected);
    }
  }

  /** Reads a value's name; the same value has the same one, however it is quoted. @throws FailureError when none comes */
  value(expected: string): { readonly key: string; readonly name: string } {
    this.take('%', expected);
    const quoted = this.text[this.at] === '"';
    const name = this.name(expected);
    return { key: quoted ? printInputName(name) : `%${name}`, name };
  }

  /** Reads what stands in brackets, divided by commas. */
  list<T>(open: string, close: string, item: () => T): readonly T[] {
    this.take(open);
    const items: T[] = [];
    if (this.takes(close)) return items;
    do items.push(item());
    while (this.takes(','));
    this.take(close, `, or ${close}`);
    return items;
  }

  /** Reads a number. @throws FailureError when none comes */
  number(expected = 'a number'): number {
    const start = this.at;
    const found = this.done ? '' : this.word(expected);
    if (number.test(found)) return Number(found);
    this.at = start;
    throw this.unexpected(expected);
  }

  /** Reads an extent or another attribute: a number, true, false, a word, a list of these, or a tensor. */
  attribute(): unknown {
    if (this.text[this.at] === '(') return this.tensor([]);
    if (this.text[this.at] === '[') {
      const items = this.list('[', ']', () => this.attribute());
      return this.text[this.at] === '(' ? this.tensor(items) : items;
    }
    const word = this.word('a number, a word, a list or a tensor');
    if (word === 'true' || word === 'false') return word === 'true';
    return number.test(word) ? Number(word) : word;
  }

  /** The elements of a tensor, not yet numbers. They may be many. */
  private tensor(shape: readonly unknown[]): WrittenTensor {
    const text = this.match(/\([^()]*\)/y, 'the elements of a tensor in parentheses')
      .slice(1, -1)
      .trim();
    if (text.includes('…')) throw this.error('the constant is shortened (…), expected all of its elements');
    const elements = text === '' ? [] : text.split(',').map((element) => element.trim());
    const broken = elements.find((element) => !number.test(element));
    if (broken !== undefined) throw this.error(`found ${broken || 'nothing'}, expected a number in the tensor`);
    return { shape: shape as readonly number[], elements };
  }

  private match(pattern: RegExp, expected: string): string {
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text) ?? [];
    if (found === undefined) throw this.unexpected(expected);
    this.at += found.length;
    this.skipBlanks();
    return found;
  }

  private skipBlanks(): void {
    while (this.text[this.at] === ' ' || this.text[this.at] === '\t' || this.text[this.at] === '\r') this.at++;
  }
}
