/** Classifiers of scikit-learn, LightGBM and XGBoost answer what Python predicts. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { json, serve, temporaryFolder } from '../helpers/server.ts'

const environment = process.env['ONNXD_INTEROP_SKLEARN']
const SCRIPT = path.resolve('test/interop/sklearn_models.py')
const MODELS = 10
/** XGBoost's own converter writes no maps. */
const WITHOUT_MAPS = 'xgboost_direct'
/** onnxruntime computes with 32-bit numbers, Python with 64-bit numbers. */
const TOLERANCE = 1e-4

interface Expected {
  readonly inputs: Readonly<Record<string, unknown>>
  readonly classes: readonly string[]
  readonly labels: readonly (string | number)[]
  readonly probabilities: readonly (readonly number[])[]
}

type Row = Readonly<Record<string, number>> | readonly number[]

test(
  'scikit-learn, LightGBM, XGBoost: models exported with default options answer as Python',
  {
    timeout: 600_000,
    skip: environment === undefined && 'needs scikit-learn; run npm run test:interop',
  },
  async (t) => {
    const folder = temporaryFolder(t)
    const python = path.join(environment ?? '', 'bin', 'python')
    const { stdout } = await promisify(execFile)(python, [SCRIPT, folder])
    assert.match(stdout, new RegExp(`^done ${MODELS}$`, 'm'))
    const expected = JSON.parse(
      readFileSync(path.join(folder, 'expected.json'), 'utf8'),
    ) as Readonly<Record<string, Expected>>
    const names = readdirSync(folder).filter((name) => name in expected)
    assert.equal(names.length, MODELS)
    const server = await serve(
      t,
      names.map((name) => path.join(folder, name)),
    )
    let furthest = 0
    for (const name of names) {
      const { inputs, classes, labels, probabilities } = expected[name] as Expected
      const answer = await server.fetch(`/predictions/${name}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(inputs),
      })
      const body = (await json(answer)) as Record<string, unknown>
      assert.equal(answer.status, 200, `${name}: ${JSON.stringify(body)}`)
      const [label, rows] = Object.values(body) as [unknown[], Row[]]
      assert.deepEqual(label, labels, name)
      assert.equal(rows.length, probabilities.length, name)
      for (const [index, row] of rows.entries()) {
        assert.equal(Array.isArray(row), name === WITHOUT_MAPS, name)
        const keys = Array.isArray(row) ? classes : Object.keys(row)
        assert.deepEqual(keys.toSorted(), classes.toSorted(), name)
        for (const [column, wanted] of (probabilities[index] ?? []).entries()) {
          const found = Array.isArray(row)
            ? row[column]
            : (row as Record<string, number>)[classes[column] ?? '']
          const distance = Math.abs((found ?? Number.NaN) - wanted)
          assert.ok(distance < TOLERANCE, `${name}: ${found} for ${wanted}`)
          furthest = Math.max(furthest, distance)
        }
      }
    }
    t.diagnostic(
      `${names.length} models; probabilities differ by at most ${furthest.toExponential(1)}`,
    )
  },
)
