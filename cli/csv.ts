/** @file Tables as CSV (RFC 4180), for spreadsheets and programs. */

/** A row with its line end; cells with commas, quotes or line ends are quoted. */
export function csvRow(cells: readonly (string | number)[]): string {
  return `${cells.map(cell).join(',')}\n`;
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
