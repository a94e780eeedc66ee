/** Detects by its first bytes what a file is that is not an ONNX model, for the error text. */
import { closeSync, openSync, readSync } from 'node:fs'
import { ServerError } from '../errors.ts'
import { fileFormatOf } from '../formats/file-format.ts'

const HEAD_BYTES = 64
/** The fifth to eighth byte of a file in the ORT format, which small builds of onnxruntime read. */
const ORT_MARK = 'ORTM'
const GIT_LFS = 'version https://git-lfs'
/** A control character that is not white space. Text has none; an ONNX model begins with one. */
const CONTROL = /(?!\s)\p{Cc}/u
const MARKUP = /^\s*<(?:!doctype|html|\?xml)/i

/**
 * Rejects a file in the ORT format. onnxruntime would load it, but the rest of the server expects
 * ONNX.
 * @throws ServerError `InvalidModelException`
 */
export function refuseOrtFormat(file: string): void {
  if (headOf(file).toString('latin1', 4, 8) !== ORT_MARK) return
  throw new ServerError(
    'InvalidModelException',
    'The file is in the ORT format (.ort), which is not supported; use the original .onnx file.',
  )
}

/**
 * Builds the error for a file that onnxruntime cannot read; `undefined` when its first bytes do not
 * show its format.
 */
export function foreignFileError(file: string): ServerError | undefined {
  const head = headOf(file)
  const format = fileFormatOf(head) ?? formatOfText(head.toString())
  if (format === undefined) return undefined
  return new ServerError('InvalidModelException', `The .onnx file is ${format}, not an ONNX model.`)
}

function formatOfText(head: string): string | undefined {
  if (head.startsWith(GIT_LFS)) return 'a Git LFS pointer (download the file with "git lfs pull")'
  if (MARKUP.test(head)) return 'an HTML or XML page'
  return head === '' || CONTROL.test(head) ? undefined : 'a text file'
}

/** Returns an empty buffer when the file cannot be read: onnxruntime then reports why. */
function headOf(file: string): Buffer {
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'r')
    const head = Buffer.alloc(HEAD_BYTES)
    return head.subarray(0, readSync(descriptor, head, 0, HEAD_BYTES, 0))
  } catch {
    return Buffer.alloc(0)
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
