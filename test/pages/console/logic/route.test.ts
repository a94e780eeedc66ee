import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  VIEWS,
  modelAddress,
  routeOf,
  viewAddress,
} from '../../../../src/pages/console/logic/route.ts'

test('each view has an address', () => {
  for (const view of VIEWS) assert.deepEqual(routeOf(viewAddress(view)), { view })
})

test('each model and version has an address', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, unit: 'grapheme' }),
      fc.string({ minLength: 1 }),
      (name, version) => {
        assert.deepEqual(routeOf(modelAddress(name, version)), { view: 'model', name, version })
        assert.deepEqual(routeOf(modelAddress(name)), { view: 'model', name, version: undefined })
      },
    ),
  )
})

test('an unknown address is the overview', () => {
  for (const hash of ['', '#', '#/', '#/nothing', '#/%'])
    assert.deepEqual(routeOf(hash), { view: 'overview' }, hash)
  assert.deepEqual(routeOf('#/models/%zz'), { view: 'model', name: '%zz', version: undefined })
})
