/** @file How our pages begin: everything inside, nothing to be loaded. */

import { escapeText } from './text.js';

/** A page from its first line to its heading. */
export function pageHead(title: string, ...styles: readonly string[]): string {
  const heading = escapeText(title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${heading}</title>
<style>
${styles.join('\n')}
</style>
</head>
<body>
<main>
<h1>${heading}</h1>`;
}
