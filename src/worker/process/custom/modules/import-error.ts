/** Says where the mistake is in a handler that cannot be read. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServerError, messageOf } from '../../../../errors.ts'
import { isTypescript, useStrip } from './typescript.ts'

/** How the message or the stack of a `SyntaxError` begins if the place is known. */
const PLACE = /^(?<location>(?:file:\/\/)?\/[^\n]*?)(?:\?[^\n:]*)?:(?<line>\d+)(?=\n|: )/
/** How Node begins to print a mistake in its standard input. */
const CHECKED_PLACE = /^\[stdin\]:(\d+)\n/
const CHECK_MS = 5000

/**
 * Names the file and the line of a mistake in the syntax; returns any other error unchanged.
 * @param file The file of the handler.
 */
export async function importError(error: unknown, file: string): Promise<unknown> {
  if (!(error instanceof Error) || error.name !== 'SyntaxError') return error
  const place = placeOf(error, path.dirname(file)) ?? (await checkedPlace(file))
  // For example `JSON.parse` in the code of the handler.
  if (place === undefined) return error
  const message = messageOf(error).replace(PLACE, '').replace(/^: /, '')
  const text = `The handler cannot be read: ${place}: ${message}`
  return new ServerError('InvalidModelException', text.replace(/\s+/g, ' '), {
    statusCode: 500,
    cause: error,
  })
}

function placeOf(error: Error, folder: string): string | undefined {
  for (const text of [error.message, error.stack ?? '']) {
    const { location, line } = PLACE.exec(text)?.groups ?? {}
    if (location === undefined || line === undefined) continue
    const file = location.startsWith('file:') ? fileURLToPath(location) : location
    return `${path.relative(folder, file)}:${line}`
  }
  return undefined
}

/** Node says where a mistake in an ES module is only for a program that it checks. */
async function checkedPlace(file: string): Promise<string | undefined> {
  const code = readFileSync(file, 'utf8')
  const input = isTypescript(file) ? (await useStrip())(code) : code
  const { stderr } = spawnSync(process.execPath, ['--check', '--input-type=module', '-'], {
    input,
    encoding: 'utf8',
    timeout: CHECK_MS,
    env: {},
  })
  const line = CHECKED_PLACE.exec(stderr)?.[1]
  return line === undefined ? undefined : `${path.basename(file)}:${line}`
}
