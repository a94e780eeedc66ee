/**
 * Every reader of data from clients, models and workers must take linear time: twice the input,
 * twice the time.
 */
import { parse } from 'node:querystring'
import { test } from 'node:test'
import multipart from '@fastify/multipart'
import Fastify from 'fastify'
import { withoutFolders } from '../src/errors.ts'
import { parseTarExtension } from '../src/models/archives/tar-extension.ts'
import { readSubject, splitMetricsLine } from '../src/models/metrics/handler-line.ts'
import { parseModelConfig } from '../src/models/sources/config-pbtxt/model-config.ts'
import { locate } from '../src/models/sources/location.ts'
import { checkModelName, nameOfPath } from '../src/models/sources/model-name.ts'
import { parseModelUrl } from '../src/models/transfers/download-url.ts'
import { safeFileName } from '../src/models/transfers/file-name.ts'
import { checkPythonInput } from '../src/models/workers/python-input.ts'
import { parseUrlEncoded, readMultipart } from '../src/routes/http/form.ts'
import type { App } from '../src/routes/route-context.ts'
import { TracebackErrors } from '../src/worker/host/python/traceback-errors.ts'
import { parseJson } from '../src/worker/process/custom/json-input.ts'
import { joinLines } from '../src/worker/process/join-lines.ts'
import { chooseCoding } from '../src/worker/process/onnx/content-coding.ts'
import { prefersOctets } from '../src/worker/process/onnx/headers.ts'
import { JsonReader } from '../src/worker/process/onnx/json/reader.ts'
import { readTensor } from '../src/worker/process/onnx/json/tensor-reader.ts'
import { parseJsonLength } from '../src/worker/process/onnx/oip/binary-request.ts'
import { readProtocolRequest } from '../src/worker/process/onnx/oip/request.ts'
import {
  isProtocolRequest,
  readPlainInputs,
} from '../src/worker/process/onnx/predictions/json-inputs.ts'
import { contentKind, looksLikeJson } from '../src/worker/process/onnx/predictions/media-type.ts'
import { responseForm } from '../src/worker/process/onnx/response-form.ts'
import { cleanMessage } from '../src/worker/process/onnx/runtime/runtime-errors.ts'
import { TableReader } from '../src/worker/process/onnx/tables/codec.ts'
import { elementToText, textToElement } from '../src/worker/process/onnx/tensors/byte-strings.ts'
import { InputSet, InputTable } from '../src/worker/process/onnx/tensors/inputs.ts'
import { parseShape } from '../src/worker/process/onnx/tensors/raw-bytes.ts'
import type { Datatype } from '../src/worker/process/onnx/tensors/tensor.ts'
import type { WireParameter } from '../src/worker/wire/messages.ts'
import { assertLinear } from './helpers/growth.ts'
import type { Read } from './helpers/growth.ts'
import { TABLE_LIMITS, matrixModel } from './helpers/tables.ts'
import { watch } from './helpers/watched-app.ts'

const JSON_LIMITS = { maxJsonBytes: 2 ** 30, maxJsonDepth: 100 }

/**
 * The repeated parts: single characters of every syntax, and texts that many readers accept as a
 * beginning.
 */
const UNITS = [
  ['a', '0', '8', '9', '1', ' ', '\t', '\n', '\r', '"', "'", '\\', '/', '.', '-', '+', '_', ','],
  [';', ':', '&', '=', '%', '[', '{', '(', '<', ']', '}', '#', '|', '\0', 'é', '\u{10fe41}'],
  ['\\"', '""', '"a', '"\\', '[1,', '{"a":', '[[],', '1e', '1.', '.1', 'a.', '/a', '/a ', '%41'],
  ['a=b&', 'a;', ';q=', 'a,b', '\r\n', '\n ', ' \n', '\\u0041', 'NaN', '-Infinity,', "Name:'"],
  ['application/json,', 'gzip;q=1,', '[METRICS]', '|#', 'a.cc:1 ', '::a', 'Infinity', '9.cc'],
  [`${'9'.repeat(3999)} `, `"${'9'.repeat(100)}`, 'key=value\n', '12 a=bcdefg\n'],
].flat()
/** Texts before and after the repeated part, so that a reader reaches it and fails late. */
const FRAMES: readonly (readonly [before: string, after: string])[] = [
  ['', ''],
  ['', '!'],
  ['"', ''],
  ['["', '"]'],
  ['{"a":', ''],
  ['a: 0', 'e5'],
  ['a: "', ''],
  ['multipart/', '+jso'],
  ['Traceback (most recent call last):\n', '\n'],
]

const READERS: Readonly<Record<string, Read>> = {
  'JSON for Python': (text) =>
    checkPythonInput([{ name: 'body', contentType: 'application/json', value: Buffer.from(text) }]),
  'text for Python': (text) =>
    checkPythonInput([{ name: 'body', contentType: 'text/plain', value: Buffer.from(text) }]),
  'urlencoded form': (text) => parseUrlEncoded(Buffer.from(text)),
  query: (text) => parse(text),
  'file name': (text) => safeFileName(text),
  'model name': (text) => checkModelName(text),
  'name of a path': (text) => nameOfPath(`${text}.mar`, undefined),
  'URL of a model': (text) => parseModelUrl(`https://a.example/${text}`, ['https://a.example']),
  'path of a model': (text) => locate(text, { modelStore: '/nowhere', allowLocalPaths: true }),
  'config.pbtxt': (text) => parseModelConfig(text),
  'tar extension': (text) => parseTarExtension(Buffer.from(text)),
  'metrics line': (text) => {
    const line = splitMetricsLine(`[METRICS]${text}.a:1|#${text}|#hostname:h,1`)
    return readSubject(line?.subject ?? text)
  },
  'message without folders': (text) => withoutFolders(text),
  'lines of a worker': (text) => {
    const words = new TracebackErrors()
    for (const line of text.split('\n')) words.note(line)
    return words.text
  },
  'JSON for a handler': (text) => parseJson(Buffer.from(text), JSON_LIMITS),
  'one line': (text) => joinLines(text),
  'JSON length': (text) => parseJsonLength(text, 10),
  'Accept-Encoding': (text) => chooseCoding(text),
  Accept: (text) => prefersOctets(`application/octet-stream,${text}`),
  'content type': (text) => contentKind(text),
  'JSON or not': (text) => looksLikeJson(Buffer.from(text)),
  'Tensor-Shape': (text) => parseShape(text),
  'opaque strings': (text) => elementToText(textToElement(text)),
  "onnxruntime's message": (text) => cleanMessage(text, '/folder'),
  'JSON of inputs': (text) => readPlainInputs(jsonReader(text), table('FP32')),
  'form of JSON': (text) => isProtocolRequest(jsonReader(text), table('FP32')),
  'JSON of the protocol': (text) =>
    readProtocolRequest(jsonReader(text), new InputSet(table('FP32'))),
  'any JSON': (text) => jsonReader(text).skipValue(),
  ...Object.fromEntries(
    (['FP32', 'INT64', 'INT32', 'BYTES'] as const).flatMap((datatype) =>
      (['csv', 'json', 'lines'] as const).map((format) => [
        `table of ${datatype} as ${format}`,
        (text: string) => tables(datatype).read(format, tableBody(text), []),
      ]),
    ),
  ),
  'form of a response': (text) => responseForm(`text/csv,${text}`),
  'tensor of floats': (text) => readTensor(jsonReader(text), spec('FP32')),
  'tensor of doubles': (text) => readTensor(jsonReader(text), spec('FP64')),
  'tensor of integers': (text) => readTensor(jsonReader(text), spec('INT32')),
  'tensor of long integers': (text) => readTensor(jsonReader(text), spec('INT64')),
  'tensor of bits': (text) => readTensor(jsonReader(text), spec('BOOL')),
  'tensor of strings': (text) => readTensor(jsonReader(text), spec('BYTES')),
}

function jsonReader(text: string): JsonReader {
  return new JsonReader(Buffer.from(text), 100)
}

function spec(datatype: Datatype) {
  return { name: 'a', datatype, shape: [-1], dimensions: ['n'] }
}

/** A reader of tables with two columns. */
function tables(datatype: Datatype): TableReader {
  return new TableReader(matrixModel(datatype, 2, { columns: ['a', 'b'] }), TABLE_LIMITS)
}

function tableBody(text: string): WireParameter {
  return { name: 'body', contentType: '', value: Buffer.from(text) }
}

function table(datatype: Datatype): InputTable {
  return new InputTable([spec(datatype)])
}

for (const [name, read] of Object.entries(READERS)) {
  test(`E4: ${name} is read in linear time`, async () => {
    for (const unit of UNITS) {
      for (const [before, after] of FRAMES) {
        const input = (size: number): string =>
          before + unit.repeat(Math.ceil(size / unit.length)) + after
        await assertLinear(JSON.stringify([name, before, unit.slice(0, 20), after]), input, read)
      }
    }
  })
}

test('E4: a multipart form is read in linear time', async (t) => {
  const app: App = Fastify()
  t.after(() => app.close())
  watch(app)
  await app.register(multipart)
  app.post('/', async (request) => ({ parts: (await readMultipart(request, 2 ** 30)).length }))
  await app.ready()
  const post = (type: string, payload: string): Promise<unknown> =>
    app.inject({ method: 'POST', url: '/', headers: { 'content-type': type }, payload })
  const head = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
  for (const unit of [
    'a',
    '\r',
    '\r\n',
    '\r\n-',
    '\r\n--',
    '\r\n--b',
    '--b',
    '-',
    head,
    '\r\n--b\r\n',
  ]) {
    const input = (size: number): string =>
      head + unit.repeat(Math.ceil(size / unit.length)) + '\r\n--b--\r\n'
    const read: Read = (text) => post('multipart/form-data; boundary=b', text)
    await assertLinear(`multipart ${JSON.stringify(unit)}`, input, read)
  }
  for (const unit of ['a', ';', ' ', '=', '"', 'x: y\r\n', '\\"', "a*=utf-8''%41;"]) {
    const input = (size: number): string =>
      `--b\r\nContent-Disposition: form-data; name="${unit.repeat(Math.ceil(size / unit.length))}\r\n\r\na\r\n--b--\r\n`
    const read: Read = (text) => post('multipart/form-data; boundary=b', text)
    await assertLinear(`head of a part ${JSON.stringify(unit)}`, input, read)
  }
})
