/** A request as a module in TypeScript for Node. The function `fetch` is that of browsers. */
import { plainValue } from './exact-json.ts'
import { scriptText, scriptValue } from './quoting.ts'
import { TOKEN_VARIABLE, requestHeaders, requestUrl, shownBody } from './request.ts'
import type { ModelRequest } from './request.ts'

/** The module. It prints the response. */
export function typescriptModule(request: ModelRequest): string {
  const body = shownBody(request)
  const headers = requestHeaders(request).map(
    ([name, value]) => `${/^\w+$/.test(name) ? name : scriptText(name)}: ${scriptText(value)}`,
  )
  if (request.hasToken) headers.push(`Authorization: \`Bearer \${process.env.${TOKEN_VARIABLE}}\``)
  return [
    ...(body.kind === 'file' ? ["import { readFile } from 'node:fs/promises'", ''] : []),
    `const response = await fetch(${scriptText(requestUrl(request))}, {`,
    "  method: 'POST',",
    ...(headers.length > 0 ? [`  headers: { ${headers.join(', ')} },`] : []),
    `  body: ${contentOf(body)},`,
    '})',
    'console.log(await response.text())',
    '',
  ].join('\n')
}

function contentOf(body: ReturnType<typeof shownBody>): string {
  if (body.kind === 'file') return `await readFile(${scriptText(body.name)})`
  if (body.kind === 'json') {
    const value = plainValue(body.text)
    if (value !== undefined) return `JSON.stringify(${scriptValue(value, '  ')})`
  }
  return scriptText(body.text)
}
