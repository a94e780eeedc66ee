/** A request for embeddings as a program in Python with the package `openai`. */
import { parseExact } from './exact-json.ts'
import { pythonText, pythonValue } from './quoting.ts'
import { TOKEN_VARIABLE, shownBody } from './request.ts'
import type { ModelRequest } from './request.ts'

/** The program; `undefined` for a request that is not one for embeddings of texts. */
export function openaiProgram(request: ModelRequest): string | undefined {
  const body = shownBody(request)
  if (body.kind !== 'json') return undefined
  const value = parseExact(body.text)
  const inputs =
    value.kind === 'object' ? value.members.find(([name]) => name === 'inputs')?.[1] : undefined
  if (inputs === undefined || (inputs.kind !== 'string' && inputs.kind !== 'list')) return undefined
  const { model, version, hasToken, server } = request
  const key = hasToken ? `os.environ[${pythonText(TOKEN_VARIABLE)}]` : "'none'"
  const name = version === undefined ? model : `${model}:${version}`
  return [
    ...(hasToken ? ['import os', ''] : []),
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url=${pythonText(`${server}v1`)}, api_key=${key})`,
    'result = client.embeddings.create(',
    `    model=${pythonText(name)},`,
    `    input=${pythonValue(inputs, '    ')},`,
    ')',
    'for item in result.data:',
    '    print(item.embedding)',
    '',
  ].join('\n')
}
