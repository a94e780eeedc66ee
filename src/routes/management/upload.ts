/** Reads `multipart/form-data` that carries a model: one file, and registration parameters as fields. */
import { rm } from 'node:fs/promises'
import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import { safeFileName } from '../../models/transfers/file-name.ts'
import type { Transfer, Transfers } from '../../models/transfers/transfers.ts'
import { receiveUpload } from '../../models/transfers/upload.ts'
import type { UploadOptions } from '../../models/transfers/upload.ts'
import { declaredLength, watchBody } from '../http/body.ts'

/** The field that the file is in: `curl -F model=@digits.onnx`. */
export const UPLOAD_FIELD = 'model'

/** As long as RFC 2046 allows; the parser answers a longer one with an error that looks like ours. */
const CONTENT_TYPE =
  /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"[^"]{1,70}"|[^\s;"]{1,70})\s*(?:;|$)/i
const MAX_FIELD_BYTES = 4096
/** What a form may have besides contents: boundaries, and headers of parts. The parser cuts headers there; we refuse. */
const MAX_FRAMING_BYTES = 32 * 1024
const MULTIPART_LIMITS = { parts: 50, headerPairs: 50, headerSize: MAX_FRAMING_BYTES }
/** What a body may have besides the file: fields, boundaries, headers. */
const MAX_OTHER_BYTES = 1024 * 1024

/** What {@link readUpload} needs. */
export interface ReadUploadOptions extends UploadOptions {
  /** Shared by all uploads. */
  readonly transfers: Transfers
}

/** The file of a model. It belongs to the caller, who removes it. */
export interface UploadedFile {
  readonly path: string
  /** Made harmless; says the format and may give the model its name, nothing else. */
  readonly fileName: string
  readonly bytes: number
}

/** What a form holds. */
export interface Upload {
  readonly file: UploadedFile | undefined
  /** Names and values of all fields, in order. */
  readonly fields: readonly (readonly [name: string, value: string])[]
}

/** What has been read so far. */
interface Form {
  file: UploadedFile | undefined
  readonly fields: [name: string, value: string][]
  /** Of the file and all fields. */
  contentBytes: number
}

/**
 * Reads the whole request. The file is in the field {@link UPLOAD_FIELD}, before or after the other
 * fields. After a failure, or when the client leaves before the end, nothing is left.
 * @throws ServerError 400 for the form, 413 for sizes, 503 beyond the limit, 507 when the disk is full;
 * errors of the multipart plugin, which `error-handler.ts` knows.
 */
export async function readUpload(
  request: FastifyRequest,
  options: ReadUploadOptions,
): Promise<Upload> {
  return options.transfers.run('upload', undefined, async (transfer) => {
    const form: Form = { file: undefined, fields: [], contentBytes: 0 }
    const reading = readForm(request, options, form, transfer)
    const limits = { maxBytes: options.maxBytes + MAX_OTHER_BYTES }
    const watching = watchBody(request.raw, limits, (bytes, expectedBytes) =>
      transfer.advance(bytes, expectedBytes || undefined),
    )
    try {
      await Promise.race([reading, watching])
      return { file: form.file, fields: form.fields }
    } catch (error) {
      // The reader may have the file complete only after the rejection.
      void reading.catch(() => {}).then(() => removeFile(form))
      await removeFile(form)
      throw error
    }
  })
}

async function removeFile({ file }: Form): Promise<void> {
  if (file !== undefined) await rm(file.path, { force: true })
}

async function readForm(
  request: FastifyRequest,
  options: ReadUploadOptions,
  form: Form,
  transfer: Transfer,
): Promise<void> {
  if (!CONTENT_TYPE.test(request.headers['content-type'] ?? '')) {
    throw badRequest('The Content-Type must be multipart/form-data with a boundary.')
  }
  const maxBytes = options.maxBytes + MAX_OTHER_BYTES
  const expectedBytes = declaredLength(request.raw, { maxBytes })
  const parts = request.parts({
    // One byte more than we take: our own error says what is wrong, the plugin would cut.
    limits: { ...MULTIPART_LIMITS, fileSize: options.maxBytes + 1 },
    // Fields are files without a name here: the plugin would collect them and parse JSON on the way.
    isPartAFile: () => true,
  })
  for await (const part of parts) {
    if (part.type !== 'file') continue
    // The plugin's type says that there are always names.
    const { fieldname: name, filename: fileName }: { fieldname?: string; filename?: string } = part
    if (name === UPLOAD_FIELD) {
      if (fileName === undefined)
        throw badRequest(`The field "${name}" must be a file with a name.`)
      if (form.file !== undefined) throw badRequest('Only one file can be uploaded at a time.')
      const safeName = safeFileName(fileName)
      transfer.name = safeName
      const received = await receiveUpload(buffersOf(part, form), safeName, expectedBytes, options)
      form.file = { ...received, fileName: safeName }
    } else if (fileName !== undefined) {
      throw badRequest(`The file must be in the field "${UPLOAD_FIELD}".`)
    } else {
      const value = await readField(part, form)
      if (name !== undefined) form.fields.push([name, value])
    }
  }
  if (transfer.bytes - form.contentBytes > MAX_FRAMING_BYTES) {
    const text = `The boundaries and headers of the form are larger than ${MAX_FRAMING_BYTES} bytes.`
    throw new ServerError('PayloadTooLargeException', text)
  }
}

async function readField(part: MultipartFile, form: Form): Promise<string> {
  const value = Buffer.alloc(MAX_FIELD_BYTES)
  let length = 0
  for await (const chunk of buffersOf(part, form)) {
    if (length + chunk.length > value.length) {
      const text = `A form field is larger than ${MAX_FIELD_BYTES} bytes.`
      throw new ServerError('PayloadTooLargeException', text)
    }
    length += chunk.copy(value, length)
  }
  return value.toString('utf8', 0, length)
}

async function* buffersOf({ file }: MultipartFile, form: Form): AsyncGenerator<Buffer> {
  for await (const chunk of file) {
    if (!Buffer.isBuffer(chunk)) continue
    form.contentBytes += chunk.length
    yield chunk
  }
}

function badRequest(message: string): ServerError {
  return new ServerError('BadRequestException', message)
}
