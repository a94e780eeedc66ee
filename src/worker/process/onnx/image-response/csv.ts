/** Writes the results of images as CSV. */

/** A field with one of these must be in quotes. */
const SPECIAL = /[",\r\n]/

/** The result of one image as rows. */
export type Rows = readonly (readonly (string | number)[])[]

/**
 * Writes a header and the rows of all images. In the response to a list of images, the first column
 * is the number of the image, from 0.
 */
export function imagesCsv(
  columns: readonly string[],
  images: readonly Rows[],
  isList: boolean,
): string {
  const lines = [isList ? ['image', ...columns] : columns]
  for (const [image, rows] of images.entries()) {
    for (const row of rows) lines.push((isList ? [image, ...row] : row).map(cellText))
  }
  return lines.map((line) => `${line.map(quoted).join(',')}\n`).join('')
}

/** Numbers as pandas reads them: `NaN` and `inf` where JSON has `null`. */
function cellText(value: string | number): string {
  if (value === Infinity) return 'inf'
  return value === Number.NEGATIVE_INFINITY ? '-inf' : String(value)
}

function quoted(text: string): string {
  return text === '' || SPECIAL.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
