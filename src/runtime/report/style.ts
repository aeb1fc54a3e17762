/** @file The style sheet of the report. */

/** Light or dark as the reader's system; the plots keep their white ground. */
export const style = `:root { color-scheme: light dark; --ink: #222; --faint: #666; --ground: #fff; --line: #ddd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --faint: #a0a0a0; --ground: #16181c; --line: #3a3d44; }
}
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, Helvetica, Arial, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; }
.figures { display: flex; flex-wrap: wrap; gap: 0.75rem 2.5rem; margin: 0 0 1.25rem; }
.figures dt { color: var(--faint); font-size: 0.85rem; }
.figures dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
.caption { margin: 0.5rem 0 0; color: var(--faint); font-size: 0.875rem; overflow-wrap: anywhere; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
figure { margin: 0; overflow: hidden; border: 1px solid var(--line); border-radius: 6px; background: #fff; }
figure svg { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; }
.wide svg { min-width: 48rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; }
th, td { padding: 0.25rem 0.75rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.epochs { font-variant-numeric: tabular-nums; }
.epochs th, .epochs td { text-align: right; white-space: nowrap; }
h3 { font-size: 1rem; margin: 1.25rem 0 0.5rem; }
.classes { font-variant-numeric: tabular-nums; }
.classes th:nth-last-child(-n+2), .classes td:nth-last-child(-n+2) { text-align: right; white-space: nowrap; }
.confusion { font-variant-numeric: tabular-nums; font-size: 0.8rem; }
.confusion th, .confusion td { padding: 0.2rem 0.4rem; border: 1px solid var(--line); text-align: right; font-weight: normal; }
.confusion thead th { vertical-align: bottom; }
.confusion thead span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 10rem; overflow: hidden; }
.confusion tbody th { white-space: nowrap; max-width: 12rem; overflow: hidden; text-overflow: ellipsis; }
.confusion .right { background: rgb(60 140 90 / calc(0.1 + 0.35 * var(--share))); }
.confusion .wrong { background: rgb(200 70 50 / calc(0.12 + 0.6 * var(--share))); }
.configuration th { min-width: 7rem; font-weight: normal; color: var(--faint); }
.configuration td { overflow-wrap: anywhere; }
details { margin-top: 1rem; }
summary { cursor: pointer; }`;
