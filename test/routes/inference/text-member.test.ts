import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { textMember } from '../../../src/routes/inference/text-member.ts'

const find = (json: string): string | undefined => textMember(Buffer.from(json), 'model')

test('the name of the model is found in any JSON object, and only at its top', () => {
  const names = fc.oneof(fc.constantFrom('model', 'input', '"', '\\', 'x"model"'), fc.string())
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.string({ unit: 'binary' }),
      fc.constantFrom('model', '\\"', '{"model":"x"}', null, true, -1.5),
      fc.array(tie('value')),
      fc.dictionary(names, tie('value')),
    ),
  }))
  fc.assert(
    fc.property(fc.dictionary(names, value), fc.constantFrom(undefined, 2), (body, indent) => {
      const own: unknown = Object.hasOwn(body, 'model') ? body['model'] : undefined
      const json = Buffer.from(JSON.stringify(body, undefined, indent)).toString()
      const expected = typeof own === 'string' ? Buffer.from(own).toString() : undefined
      // JSON writes half of a surrogate pair as an escape, which is read back as it was.
      const found = find(json)
      assert.equal(found === undefined ? undefined : Buffer.from(found).toString(), expected)
    }),
    { numRuns: 2000 },
  )
})

test('a body that is no JSON object has no name, and ends the search', () => {
  const bodies = [
    '',
    '"model"',
    '["model","x"]',
    '{"model"',
    '{"model":',
    '{"model":"x',
    '{"model":1',
  ]
  for (const body of bodies) assert.equal(find(body), undefined, body)
  assert.equal(find('{"model":"\\'), undefined)
  assert.equal(find('{"model":"\\q"}'), undefined)
  assert.equal(find(`{"input":"${'\\"'.repeat(1_000_000)}","model":"x"}`), 'x')
})
