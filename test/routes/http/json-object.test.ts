import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonMembers } from '../../../src/routes/http/json-object.ts'
import { randomNumbers } from '../../helpers/random.ts'
import type { RandomNumbers } from '../../helpers/random.ts'

const SEED = 20_260_502
const TEXT = 'a"b\\c{}[],:\u00e9\n\u2028 '

function randomText(random: RandomNumbers): string {
  const start = random.integer(0, TEXT.length)
  return TEXT.slice(start, random.integer(start, TEXT.length))
}

function randomValue(random: RandomNumbers, depth: number): unknown {
  switch (random.integer(0, depth > 2 ? 4 : 6)) {
    case 0:
      return random.integer(-50, 50)
    case 1:
      return random.next() / 7
    case 2:
      return random.next() < 0.5
    case 3:
      return null
    case 4:
      return randomText(random)
    case 5:
      return Array.from({ length: random.integer(0, 3) }, () => randomValue(random, depth + 1))
    default:
      return randomObject(random, depth + 1)
  }
}

function randomObject(random: RandomNumbers, depth: number): Record<string, unknown> {
  const length = random.integer(0, 4)
  return Object.fromEntries(
    Array.from({ length }, () => [randomText(random), randomValue(random, depth)]),
  )
}

test('C1: the members of an object are those that JSON.parse finds, without those that are null', (t) => {
  t.diagnostic(`seed ${SEED}`)
  const random = randomNumbers(SEED)
  for (let round = 0; round < 20_000; round += 1) {
    const object = randomObject(random, 0)
    const json = JSON.stringify(object, null, random.integer(0, 2))
    const members = jsonMembers(json)
    assert.deepEqual(
      members.map(({ name, written }): [string, unknown] => [name, JSON.parse(written)]),
      Object.entries(object).filter(([, value]) => value !== null),
      json,
    )
    for (const { name, text } of members) {
      const value = object[name]
      const written = typeof value === 'string' ? value : JSON.stringify(value)
      const expected = typeof value === 'object' ? undefined : written
      assert.equal(text, expected, json)
    }
  }
})
