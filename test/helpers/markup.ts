/** @file Whether markup is well-formed. */

/** The elements of markup in which every tag is closed by its own, as XML asks; throws where it is not so. */
export function wellFormed(markup: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  const text = markup.replace(
    /<(\/?)([a-z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gi,
    (_, closing, name, __, empty) => {
      if (closing && open.pop() !== name) throw new Error(`</${name}> closes another element`);
      if (!closing) names.push(name);
      if (!closing && !empty) open.push(name);
      return '';
    },
  );
  if (open.length > 0) throw new Error(`<${open.at(-1)}> is not closed`);
  if (/[<>]|&(?!(amp|lt|gt|quot|#\d+);)/.test(text)) throw new Error(`markup in text: ${text}`);
  return names;
}
