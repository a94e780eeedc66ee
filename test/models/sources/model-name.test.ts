/** Names and versions that would be hidden by a fixed path of the server are refused. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import {
  RESERVED_NAMES,
  RESERVED_VERSIONS,
  checkModelName,
  checkModelVersion,
} from '../../../src/models/sources/model-name.ts'

/** The paths of both listeners, each as a list of segments. */
function documentedPaths(): string[][] {
  const files = ['inference.json', 'management.json'].map((name) => path.resolve('openapi', name))
  return files.flatMap((file) => {
    const { paths } = JSON.parse(readFileSync(file, 'utf8')) as { paths: object }
    return Object.keys(paths).map((route) => route.split('/').slice(1))
  })
}

const isParameter = (segment: string | undefined): boolean => segment?.startsWith('{') === true

/**
 * Words that the router takes for a part of another path when they stand for a parameter. It
 * decides at the first segment where two paths differ, and prefers the fixed text.
 */
function hiddenWords(parameter: string): Map<string, string> {
  const words = new Map<string, string>()
  const paths = documentedPaths()
  for (const own of paths) {
    for (const other of paths.filter(({ length }) => length === own.length)) {
      const place = own.findIndex((segment, index) => segment !== other[index])
      const fits = own.every(
        (segment, index) =>
          segment === other[index] || isParameter(segment) || isParameter(other[index]),
      )
      if (!fits || own[place] !== `{${parameter}}` || isParameter(other[place])) continue
      const both = other.map((segment, index) => (isParameter(segment) ? own[index] : segment))
      words.set(other[place] ?? '', `/${both.join('/')}`)
    }
  }
  return words
}

test('every name and version that a path of the server would hide is reserved', () => {
  assert.deepEqual(
    new Map([...RESERVED_NAMES].toSorted()),
    new Map([...hiddenWords('model')].toSorted()),
  )
  assert.deepEqual(
    new Map([...RESERVED_VERSIONS].toSorted()),
    new Map([...hiddenWords('version')].toSorted()),
  )
  for (const [check, what, words] of [
    [checkModelName, 'name', RESERVED_NAMES],
    [checkModelVersion, 'version', RESERVED_VERSIONS],
  ] as const) {
    for (const [word, taken] of words) {
      assert.throws(() => check(word), {
        statusCode: 400,
        message: `Invalid model ${what}: "${word}" is reserved, because ${taken} is a path of the server. Choose another ${what}.`,
      })
      check(`${word}1`)
      check(word.toUpperCase())
    }
  }
  checkModelName('all')
  checkModelVersion('stats')
})
