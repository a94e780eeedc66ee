/**
 * Writes `docs/configuration.md`, `docs/errors.md`, the table of architectures in `docs/text.md`
 * and the files of `openapi/` from the source.
 * With `--check` it writes nothing and exits with code 1 if a file is out of date.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { configurationPage } from './configuration-page.ts'
import { errorsPage } from './errors-page.ts'
import { DESCRIPTORS_FILE, descriptorsFile } from './grpc-descriptors.ts'
import { openApiFiles } from './openapi-files.ts'
import { textPage } from './text-page.ts'

const PAGES: readonly [file: string, text: string][] = [
  ['docs/configuration.md', configurationPage()],
  ['docs/errors.md', errorsPage()],
  ['docs/text.md', textPage(readFileSync('docs/text.md', 'utf8'))],
  ...(await openApiFiles()),
  [DESCRIPTORS_FILE, descriptorsFile()],
]

for (const [file, text] of PAGES) {
  if (process.argv.includes('--check')) check(file, text)
  else write(file, text)
}

function write(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function check(file: string, text: string): void {
  if (readText(file) === text) return
  process.stderr.write(`${file} is out of date; run: npm run docs\n`)
  process.exitCode = 1
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
