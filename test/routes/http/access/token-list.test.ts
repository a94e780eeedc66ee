import assert from 'node:assert/strict'
import { test } from 'node:test'
import { callerOf } from '../../../../src/routes/http/access/caller.ts'
import { hashOf, readTokens } from '../../../../src/routes/http/access/token-list.ts'
import { Tokens } from '../../../../src/routes/http/access/tokens.ts'

const SECRET = 'a-secret-of-these-tests'

test('a list of tokens is JSON or YAML, alone or as a member', async () => {
  const hash = hashOf('x').toString('hex').toUpperCase()
  for (const text of [
    `[{"name":"a","token":"${SECRET}"},{"name":"b","sha256":"${hash}","scope":["management","inference"]}]`,
    `{"tokens":[{"name":"a","token":"${SECRET}"},{"name":"b","sha256":"${hash}","scope":["management","inference"]}]}`,
    `tokens:\n  - {name: a, token: ${SECRET}, scope: inference}\n  - {name: b, sha256: "${hash}", scope: [management, inference]}`,
  ]) {
    const tokens = new Tokens(await readTokens(text))
    assert.equal(tokens.find(SECRET)?.name, 'a')
    assert.equal(tokens.find('x')?.name, 'b')
    assert.deepEqual([...(tokens.find(SECRET)?.areas ?? [])], ['inference'])
    assert.deepEqual([...(tokens.find('x')?.areas ?? [])].toSorted(), ['inference', 'management'])
    for (const other of ['', 'X', `${SECRET} `, SECRET.slice(1), hash])
      assert.equal(tokens.find(other), undefined)
  }
})

test('a mistake names the entry, and never a value', async () => {
  const cases: readonly [text: string, reason: RegExp][] = [
    [`[{name: a, token: ${SECRET}`, /^it is not valid JSON or YAML in line 1 /],
    [`[{name: a, token: ${SECRET}, token: ${SECRET}}]`, /^it is not valid JSON or YAML in line 1 /],
    [SECRET, /must be a list/],
    ['', /must be a list/],
    ['{}', /must be a list/],
    [`{tokens: {a: ${SECRET}}}`, /must be a list/],
    [`[${SECRET}]`, /^token 1 must be an object/],
    [`[{token: ${SECRET}}]`, /^token 1 needs a name/],
    [`[{name: "a b", token: ${SECRET}}]`, /^token 1 needs a name/],
    [`[{name: a, token: "${SECRET} x"}]`, /^token a: token must be a text of visible/],
    [`[{name: a, token: "${SECRET}\u00e4"}]`, /^token a: token must be a text of visible/],
    ['[{name: a, token: ""}]', /^token a: token must be a text of visible/],
    ['[{name: a, token: 12345678}]', /^token a: token must be a text/],
    [`[{name: a, token: ${'x'.repeat(9000)}}]`, /^token a: token must be a text/],
    [`[{name: a, sha256: ${SECRET}}]`, /^token a: sha256 must be/],
    [`[{name: a, token: ${SECRET}, sha256: x}]`, /either token or sha256/],
    ['[{name: a}]', /either token or sha256/],
    [`[{name: a, token: ${SECRET}, scope: all}]`, /scope must be inference or management/],
    [`[{name: a, token: ${SECRET}, scope: []}]`, /scope must be inference or management/],
    [`[{name: a, token: ${SECRET}, scope: [inference, x]}]`, /scope must be inference or/],
    [`[{name: a, token: ${SECRET}, models: []}]`, /models must be/],
    [`[{name: a, token: ${SECRET}, models: iris}]`, /models must be/],
    [`[{name: a, token: ${SECRET}, models: ["iris:1"]}]`, /models must be/],
    [`[{name: a, token: ${SECRET}, scope: management, models: [iris]}]`, /for inference only/],
    [`[{name: a, token: ${SECRET}, model: iris}]`, /unknown key "model"/],
    [`[{name: a, token: ${SECRET}}, {name: a, token: x}]`, /two tokens have the name a/],
    [`[{name: a, token: ${SECRET}}, {name: b, token: ${SECRET}}]`, /a and b are the same token/],
  ]
  for (const [text, reason] of cases) {
    await assert.rejects(readTokens(text), (error: Error) => {
      assert.match(error.message, reason, text)
      assert.ok(!error.message.includes(SECRET), error.message)
      return true
    })
  }
})

test('an area that had a token needs one for ever', async () => {
  const tokens = new Tokens(await readTokens('[{name: a, token: x}]'))
  assert.deepEqual([tokens.guards('inference'), tokens.guards('management')], [true, false])
  tokens.replace(await readTokens('[{name: b, token: y, scope: management}]'))
  assert.deepEqual([tokens.guards('inference'), tokens.guards('management')], [true, true])
  assert.equal(tokens.find('x'), undefined)
  tokens.replace([])
  assert.deepEqual([tokens.guards('inference'), tokens.guards('management')], [true, true])
})

test('a pattern fits whole names', () => {
  const areas = new Set(['inference'] as const)
  const mayUse = (pattern: string, model: string): boolean =>
    callerOf({ name: 'a', sha256: hashOf(''), areas, models: ['other', pattern] }).mayUse(model)
  const cases: readonly [pattern: string, fits: string[], others: string[]][] = [
    ['iris', ['iris', 'other'], ['Iris', 'iris2', 'anIris', 'iris:1', '']],
    ['iris*', ['iris', 'iris-2'], ['iri', 'xiris']],
    ['*iris', ['iris', 'my-iris'], ['iris2']],
    ['a*b*c', ['abc', 'a1b2c', 'abbcc', 'abcbc'], ['ab', 'ac', 'acb', 'xabc', 'abcx']],
    ['ab*ba', ['abba', 'ab-ba'], ['aba', 'ab', 'ba']],
    ['*', ['', 'x'], []],
    ['**a**', ['a', 'bab'], ['', 'b']],
    ['a.c', ['a.c'], ['abc']],
  ]
  for (const [pattern, fits, others] of cases) {
    for (const model of fits) assert.ok(mayUse(pattern, model), `${pattern} ${model}`)
    for (const model of others) assert.ok(!mayUse(pattern, model), `${pattern} ${model}`)
  }
})
