/** A request as a program in Python with the package `requests`. */
import { plainValue } from './exact-json.ts'
import { pythonText, pythonValue } from './quoting.ts'
import { TOKEN_VARIABLE, requestHeaders, requestUrl, shownBody } from './request.ts'
import type { ModelRequest } from './request.ts'

/** The program. It prints the response. */
export function pythonProgram(request: ModelRequest): string {
  const body = shownBody(request)
  const value = body.kind === 'json' ? plainValue(body.text) : undefined
  const headers = requestHeaders(request)
    // `json=` sets the content type.
    .filter(([name]) => value === undefined || name !== 'Content-Type')
    .map(([name, text]) => `${pythonText(name)}: ${pythonText(text)}`)
  if (request.hasToken) {
    headers.push(`'Authorization': 'Bearer ' + os.environ[${pythonText(TOKEN_VARIABLE)}]`)
  }
  const open = body.kind === 'file' ? `open(${pythonText(body.name)}, 'rb').read()` : ''
  const content =
    value !== undefined
      ? `json=${pythonValue(value, '    ')}`
      : `data=${body.kind === 'file' ? open : `${pythonText(body.text)}.encode()`}`
  return [
    ...(request.hasToken ? ['import os', ''] : []),
    'import requests',
    '',
    'response = requests.post(',
    `    ${pythonText(requestUrl(request))},`,
    `    ${content},`,
    ...(headers.length > 0 ? [`    headers={${headers.join(', ')}},`] : []),
    ')',
    'print(response.text)',
    '',
  ].join('\n')
}
