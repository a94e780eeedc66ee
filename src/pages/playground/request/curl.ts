/** A request as a curl command for a POSIX shell. */
import { shellWord } from './quoting.ts'
import { TOKEN_VARIABLE, requestHeaders, requestUrl, shownBody } from './request.ts'
import type { ModelRequest } from './request.ts'

/** The command, with one option on each line. */
export function curlCommand(request: ModelRequest): string {
  const options = requestHeaders(request).map(
    ([name, value]) => `-H ${shellWord(`${name}: ${value}`)}`,
  )
  if (request.hasToken) options.push(`-H "Authorization: Bearer $${TOKEN_VARIABLE}"`)
  const body = shownBody(request)
  // `--data-raw` does not take a leading `@` for the name of a file.
  if (body.kind === 'file') options.push(`--data-binary ${shellWord(`@${ownFile(body.name)}`)}`)
  else options.push(`--data-raw ${shellWord(body.text)}`)
  return [`curl ${shellWord(requestUrl(request))}`, ...options].join(' \\\n  ')
}

/** curl reads its standard input for a file called `-`. */
function ownFile(name: string): string {
  return name.startsWith('-') ? `./${name}` : name
}
