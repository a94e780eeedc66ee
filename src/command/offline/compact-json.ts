/** JSON for people: a list of numbers or texts stands on one line. */

/** Columns of a usual terminal. */
const MAX_LINE = 80

/** Returns JSON with an indent, but with short values on one line. */
export function compactJson(value: unknown, indent = ''): string {
  const flat = JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return flat
  if (indent.length + flat.length <= MAX_LINE) {
    const line = spaced(value)
    if (indent.length + line.length <= MAX_LINE) return line
  }
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => compactJson(item, inner))
    const isPlain = value.every((item: unknown) => typeof item !== 'object' || item === null)
    return isPlain
      ? `[\n${filled(items, inner)}\n${indent}]`
      : `[\n${items.map((item) => `${inner}${item}`).join(',\n')}\n${indent}]`
  }
  const members = Object.entries(value).map(
    ([name, member]: [string, unknown]) =>
      `${inner}${JSON.stringify(name)}: ${compactJson(member, inner)}`,
  )
  return `{\n${members.join(',\n')}\n${indent}}`
}

function spaced(value: object): string {
  if (Array.isArray(value)) {
    return `[${value.map((item: unknown) => compactJson(item)).join(', ')}]`
  }
  const members = Object.entries(value).map(
    ([name, member]: [string, unknown]) => `${JSON.stringify(name)}: ${compactJson(member)}`,
  )
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`
}

/** As many items on a line as fit. */
function filled(items: readonly string[], indent: string): string {
  const lines: string[] = []
  let line = indent
  for (const [index, item] of items.entries()) {
    const part = `${item}${index < items.length - 1 ? ',' : ''}`
    if (line.length + part.length + 1 > MAX_LINE && line !== indent) {
      lines.push(line)
      line = indent
    }
    line += line === indent ? part : ` ${part}`
  }
  return [...lines, line].join('\n')
}
