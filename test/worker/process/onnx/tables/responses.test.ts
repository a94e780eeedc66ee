/** Responses in the form that `Accept` asks for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import { responseForm } from '../../../../../src/worker/process/onnx/response-form.ts'
import type { WireHeader } from '../../../../../src/worker/wire/messages.ts'
import { identityGraph, writeModelFolder } from '../../../../helpers/onnx-builder.ts'
import { bodyRequest, loadModel, modelPath, predict } from '../../../../helpers/onnx-model.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'
import { columnsGraph } from '../../../../helpers/tables.ts'

const V1: WireHeader = [DIALECT_HEADER, 'v1']
const NDJSON = 'application/x-ndjson'

test('outputs of several columns are CSV, records and lines', async (t) => {
  const graph = columnsGraph({ f: 'FP32', d: 'FP64', i: 'INT64', b: 'BOOL', s: 'BYTES', h: 'FP16' })
  const model = await loadModel(t, writeModelFolder(temporaryFolder(t), 'm', graph))
  const rows = [
    { f: 0.1, d: 1e-7, i: -3, b: true, s: 'a,"b"\n', h: 1.5 },
    { f: null, d: null, i: 9_007_199_254_740_991, b: false, s: '', h: null },
  ]
  const send = async (accept: string, ...headers: WireHeader[]) => {
    const request = bodyRequest(rows, 'application/json', [['Accept', accept], ...headers])
    const { status, contentType, body } = await predict(model, request)
    return [status, contentType, body.toString()] as const
  }
  const csv = '0.1,1e-7,-3,true,"a,""b""\n",1.5\nNaN,NaN,9007199254740991,false,"",NaN\n'
  const type = 'text/csv; charset=utf-8; header='
  assert.deepEqual(await send('text/csv'), [200, `${type}absent`, csv])
  const withHeader = await send('text/csv; header=present')
  assert.deepEqual(withHeader, [
    200,
    `${type}present`,
    `f_out,d_out,i_out,b_out,s_out,h_out\n${csv}`,
  ])
  const records = [
    '{"f_out":[0.1],"d_out":[1e-7],"i_out":[-3],"b_out":[true],"s_out":["a,\\"b\\"\\n"],"h_out":[1.5]}',
    '{"f_out":[null],"d_out":[null],"i_out":[9007199254740991],"b_out":[false],"s_out":[""],"h_out":[null]}',
  ]
  const [, , list] = await send('application/json; orient=records')
  assert.equal(list, `[${records.join()}]\n`)
  assert.deepEqual(await send(NDJSON), [200, NDJSON, `${records.join('\n')}\n`])
  const request = bodyRequest({ instances: rows }, '', [V1, ['Accept', 'text/csv']])
  assert.equal((await predict(model, request)).body.toString(), csv)
  const [status, , text] = await send('application/x-npy')
  assert.equal(status, 406)
  assert.match(
    text,
    /The model has 6 outputs, so the response cannot be one NumPy array; accept application\/x-npz/,
  )
})

test('one output is CSV with a row for each sample, or a NumPy array', async (t) => {
  const folder = temporaryFolder(t)
  const types = [
    ['FP32', '<f4'],
    ['INT64', '<i8'],
    ['UINT8', '|u1'],
    ['BOOL', '|b1'],
  ] as const
  for (const [type, descr] of types) {
    const graph = identityGraph({ type, shape: ['N', 2] })
    const model = await loadModel(t, writeModelFolder(folder, type, graph))
    const ask = (body: Buffer | string, contentType: string, accept: string) =>
      predict(model, bodyRequest(body, contentType, [['Accept', accept]]))
    const npy = await ask('1,0\n0,1\n1,1\n', 'text/csv', 'application/x-npy')
    assert.equal(npy.contentType, 'application/x-npy')
    assert.equal(
      npy.body.indexOf(`{'descr': '${descr}', 'fortran_order': False, 'shape': (3, 2), }`),
      10,
    )
    assert.equal((npy.body.readUInt16LE(8) + 10) % 64, 0)
    const csv = await ask(npy.body, 'application/x-npy', 'text/csv')
    const [one, zero] = type === 'BOOL' ? ['true', 'false'] : ['1', '0']
    assert.equal(csv.body.toString(), `${one},${zero}\n${zero},${one}\n${one},${one}\n`)
  }
})

test('outputs without a row for each sample are no table', async (t) => {
  const model = await loadModel(t, modelPath('scalar_fp32', '1'))
  const answer = await predict(
    model,
    bodyRequest('5', 'application/json', [['Accept', 'text/csv']]),
  )
  assert.equal(answer.status, 406)
  assert.match(answer.body.toString(), /The response cannot be a table/)
})

test('Accept: quality decides, then the named type, then JSON', () => {
  const forms: Readonly<Record<string, string>> = {
    '': 'plain',
    '*/*': 'plain',
    'text/html, */*;q=0.8': 'plain',
    'application/json': 'plain',
    'text/csv': 'csv',
    'TEXT/CSV; q=0.9, */*; q=0.1': 'csv',
    'text/csv, */*': 'csv',
    'application/json, text/csv': 'plain',
    'application/json;q=0.5, text/csv': 'csv',
    'text/csv;q=0': 'plain',
    'application/json;orient=records': 'records',
    'application/json; Orient="records"': 'records',
    'application/json;orient=split': 'plain',
    'application/jsonlines': 'lines',
    'application/x-npy': 'npy',
    'application/octet-stream': 'octets',
    'application/octet-stream, application/json': 'plain',
  }
  for (const [accept, form] of Object.entries(forms)) {
    assert.equal(responseForm(accept), form, accept)
  }
})
