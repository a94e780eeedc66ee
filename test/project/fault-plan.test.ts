/** Every row of the fault plan is tested, or the page says why it does not apply. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { sharedPath, testShared } from '../helpers/shared.ts'

const PAGE = path.resolve('docs/reliability.md')
const EXCLUDED_HEADING = 'Rows that do not apply'
/** A row of a table that begins with an id, for example `| W07 | … |`. */
const TABLE_ROW = /^\| ([WNHPJSZUMORAFIL]\d\d) /gm
/** The name of a test begins with its ids: `row('W07', …)`, `queueRow('W17', …)`. */
const TEST_NAME = /\b(?:row|[a-z]+Row|test)\(\s*['"`]((?:[WNHPJSZUMORAFIL]\d\d\b ?)+)/g
/** No row has it. */
const UNUSED = ['S09']

const idsIn = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].flatMap(([, ids = '']) => ids.trim().split(' '))

/**
 * The part of a Markdown text below the heading that contains `heading`, up to the next heading of
 * its level.
 */
function section(text: string, heading: string): string {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.includes(heading))
  assert.ok(start >= 0, `there is a heading ${JSON.stringify(heading)}`)
  const level = lines[start]?.indexOf(' ') ?? 0
  const length = lines
    .slice(start + 1)
    .findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level)
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n')
}

function plannedRows(): string[] {
  const file = sharedPath('spec', 'reliability-and-security.md')
  const text = section(readFileSync(file, 'utf8'), '4. Fault-injection')
  return idsIn(text, TABLE_ROW)
}

/** Ids of rows that have a test. */
function testedRows(): Set<string> {
  const found = new Set<string>()
  for (const folder of ['test/faults', 'test/fuzz']) {
    if (!existsSync(folder)) continue
    for (const name of readdirSync(folder).filter((file) => file.endsWith('.test.ts'))) {
      const source = readFileSync(path.join(folder, name), 'utf8')
      for (const id of idsIn(source, TEST_NAME)) found.add(id)
    }
  }
  return found
}

/** Rows that the page lists as not applicable; `undefined` while there is no page. */
function excludedRows(): string[] | undefined {
  if (!existsSync(PAGE)) return undefined
  return idsIn(section(readFileSync(PAGE, 'utf8'), EXCLUDED_HEADING), TABLE_ROW)
}

testShared('each id that a test is named after is a row of the fault plan', {}, () => {
  const planned = plannedRows()
  assert.ok(planned.length > 100, `${planned.length} rows found in the plan`)
  assert.deepEqual(planned, [...new Set(planned)], 'each id is planned once')
  const tested = testedRows()
  const unknown = [...tested].filter((id) => !planned.includes(id) || UNUSED.includes(id))
  assert.deepEqual(unknown, [], 'these tests have an id that is no row of the plan')
})

testShared('a row of the fault plan without a test is listed with its reason', {}, (t) => {
  const excluded = excludedRows()
  if (excluded === undefined) {
    t.skip(`there is no ${path.relative(process.cwd(), PAGE)} yet`)
    return
  }
  const planned = plannedRows()
  const tested = testedRows()
  const missing = planned.filter((id) => !tested.has(id) && !excluded.includes(id))
  assert.deepEqual(
    missing,
    [],
    `these rows have no test and are not listed under "${EXCLUDED_HEADING}"`,
  )
  const both = excluded.filter((id) => tested.has(id))
  assert.deepEqual(both, [], 'these rows are tested, and listed as not applicable')
  const unknown = excluded.filter((id) => !planned.includes(id))
  assert.deepEqual(unknown, [], 'these ids are listed and are no row of the plan')
})
