/** A request as code, on the page `/playground`. `playground.interop.ts` runs the code. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import vm from 'node:vm'
import { curlCommand } from '../../../src/pages/playground/request/curl.ts'
import { parseExact } from '../../../src/pages/playground/request/exact-json.ts'
import { openaiProgram } from '../../../src/pages/playground/request/openai.ts'
import { pythonProgram } from '../../../src/pages/playground/request/python.ts'
import {
  pythonText,
  scriptText,
  scriptValue,
  shellWord,
} from '../../../src/pages/playground/request/quoting.ts'
import { fileType } from '../../../src/pages/playground/request/request.ts'
import type { ModelRequest, RequestBody } from '../../../src/pages/playground/request/request.ts'
import { tritonProgram } from '../../../src/pages/playground/request/tritonclient.ts'
import { typescriptModule } from '../../../src/pages/playground/request/typescript.ts'

const HOSTILE = [
  '',
  'plain',
  "it's",
  `'"'"'`,
  '$(touch /tmp/x) `id` $HOME !! \\',
  '"; rm -rf /; "',
  'line\nend\r\ttab',
  '@file',
  '-rf',
  '*?[a]{b,c}~',
  '#{x} ${x} %s',
  '\u2028\u2029\u202E\u0001\u007F\uFEFF',
  '日本 😀 é',
  '</script><!--',
]

test('a shell reads each word as it is', () => {
  const words = HOSTILE.map(shellWord).join(' ')
  const { stdout } = spawnSync('sh', ['-c', `printf '%s\\0' ${words}`], { encoding: 'utf8' })
  assert.deepEqual(stdout.split('\0').slice(0, -1), HOSTILE)
})

test('a literal of TypeScript has the value of its text, on one line', () => {
  for (const text of [...HOSTILE, '\uD83D']) {
    const literal = scriptText(text)
    assert.equal(vm.runInNewContext(literal), text)
    assert.match(literal, /^[^\p{Cc}\u2028\u2029\u202E]*$/u)
  }
})

test('a literal of Python has escapes of Python', () => {
  assert.equal(pythonText(`it's\n`), String.raw`'it\'s\n'`)
  assert.equal(pythonText('\\ \u202E\u{E0001} 😀'), String.raw`'\\ \u202e\U000e0001 😀'`)
})

test('an object of TypeScript has all members of the JSON', () => {
  const text = JSON.stringify({ 'a b': [1, { "it's": null }], list: Array(60).fill('text') })
  const own = text.replace('{', '{"__proto__":{"x":true},')
  const value: unknown = vm.runInNewContext(`JSON.stringify(${scriptValue(parseExact(own))})`)
  assert.equal(value, own)
})

const request = (body: RequestBody, more: Partial<ModelRequest> = {}): ModelRequest => ({
  server: 'http://localhost:8080/prefix/',
  model: 'iris',
  version: undefined,
  body,
  hasToken: false,
  ...more,
})
const json = (text: string): RequestBody => ({ kind: 'json', text })

test('curl sends the body as it is, even if it begins like the name of a file', () => {
  const command = curlCommand(request({ kind: 'text', text: `@it's`, type: 'text/plain' }))
  assert.equal(
    command,
    String.raw`curl http://localhost:8080/prefix/predictions/iris \
  -H 'Content-Type: text/plain' \
  --data-raw '@it'\''s'`,
  )
})

test('a file is read by its name, also if the name looks like an option', () => {
  const body: RequestBody = { kind: 'file', name: '-my image.png', type: fileType('x.PNG') }
  assert.match(curlCommand(request(body)), /--data-binary '@\.\/-my image\.png'$/)
  assert.match(curlCommand(request(body)), /-H 'Content-Type: image\/png'/)
  assert.match(pythonProgram(request(body)), /data=open\('-my image\.png', 'rb'\)\.read\(\)/)
  assert.match(typescriptModule(request(body)), /body: await readFile\('-my image\.png'\)/)
})

test('a long body is read from a file', () => {
  const body = json(`[${'1, '.repeat(3000)}1]`)
  for (const write of [curlCommand, pythonProgram, typescriptModule]) {
    const code = write(request(body))
    assert.match(code, /request\.json/)
    assert.ok(code.length < 1000)
  }
})

test('Python and TypeScript use values, but a text where values would lose something', () => {
  const plain = request(json('{"x": [true, null, 1.5]}'))
  assert.match(pythonProgram(plain), /json=\{'x': \[True, None, 1\.5\]\},/)
  assert.doesNotMatch(pythonProgram(plain), /Content-Type/)
  assert.match(typescriptModule(plain), /JSON\.stringify\(\{ ?x: \[true, null, 1\.5\] ?\}\)/)
  const exact = request(json('{"x": [9007199254740993, NaN]}'))
  assert.match(pythonProgram(exact), /data='\{"x": \[9007199254740993, NaN\]\}'\.encode\(\)/)
  assert.match(pythonProgram(exact), /'Content-Type': 'application\/json'/)
  assert.match(typescriptModule(exact), /body: '\{"x": \[9007199254740993, NaN\]\}'/)
})

test('the token is a variable of the environment, and the version a part of the path', () => {
  const body = json('{"inputs": "a"}')
  const own = request(body, { hasToken: true, version: '2.0' })
  const programs = [
    curlCommand(own),
    pythonProgram(own),
    typescriptModule(own),
    openaiProgram(own) ?? '',
    tritonProgram(own, [{ name: 'inputs', datatype: 'BYTES', shape: [] }]) ?? '',
  ]
  for (const program of programs) {
    assert.match(program, /API_TOKEN/)
    assert.match(program, /iris[/:]2\.0|model_version='2\.0'/)
  }
  for (const program of programs.slice(0, 3)) assert.match(program, /[Bb]earer/)
})

test('tritonclient gets arrays of the right type and rank', () => {
  const inputs = [
    { name: 'x', datatype: 'FP32', shape: [-1, 2] },
    { name: "it's", datatype: 'BYTES', shape: [1] },
  ]
  const program = tritonProgram(request(json(`{"x": [NaN, 2], "it's": ["NaN"]}`)), inputs) ?? ''
  assert.match(program, /InferenceServerClient\('localhost:8080\/prefix'\)/)
  assert.match(program, /np\.array\(\[np\.nan, 2\], dtype=np\.float32\)\.reshape\(\[-1,2\]\)/)
  assert.match(program, /np\.array\(\['NaN'\], dtype=object\)/)
  assert.match(program, /InferInput\('it\\'s', list\(x1\.shape\), 'BYTES'\)/)
  assert.equal(tritonProgram(request(json('{"y": [1]}')), inputs), undefined)
  assert.equal(tritonProgram(request(json('not JSON')), inputs), undefined)
})
