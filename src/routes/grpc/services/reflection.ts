/** Reflection: answers with the compiled `.proto` files of the services. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { MessageReader } from '../../../formats/proto-message.ts'
import { describedFiles } from '../messages/described-files.ts'
import type { DescribedFile } from '../messages/described-files.ts'
import { encodeMessage } from '../messages/encode.ts'
import { REFLECTION } from '../messages/schemas.ts'
import type { Call } from '../transport/call.ts'
import { CODES } from '../transport/status.ts'

/** Both versions have the same messages. */
export const REFLECTION_SERVICES = [
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
]
const REQUEST = { host: 1, file: 3, symbol: 4, extension: 5, extensions: 6, list: 7 } as const
const ORIGINAL = 2
/** Responses that wait for the client. It gets no more while it reads none. */
const MAX_UNSENT = 16

/** Handles `ServerReflectionInfo`. */
export function reflect(call: Call): void {
  let unsent = 0
  let isDone = false
  const finish = (): void => {
    if (isDone && unsent === 0) call.succeed()
  }
  call.onDrain = () => call.succeed()
  call.read(
    (message) => {
      unsent += 1
      if (unsent >= MAX_UNSENT) call.stream.pause()
      answer(message).then(
        (response) =>
          call.send(response, undefined, () => {
            unsent -= 1
            call.stream.resume()
            finish()
          }),
        (error: unknown) => call.fail(error),
      )
    },
    () => {
      isDone = true
      finish()
    },
  )
}

async function answer(message: Buffer): Promise<Uint8Array> {
  const files = await describedFiles()
  const request = new MessageReader(message)
  let host = ''
  let response: object = failure(CODES.INVALID_ARGUMENT, 'The request asks for nothing.')
  while (request.next()) {
    switch (request.number) {
      case REQUEST.host:
        host = request.text()
        break
      case REQUEST.file: {
        const name = request.text()
        response = fileResponse(files.find((file) => file.name === name))
        break
      }
      case REQUEST.symbol: {
        const symbol = request.text()
        response = fileResponse(files.find((file) => defines(file, symbol)))
        break
      }
      case REQUEST.list:
        response = {
          list_services_response: {
            service: files.map(({ service: name }) => ({ name })),
          },
        }
        break
      case REQUEST.extension:
      case REQUEST.extensions:
        response = failure(CODES.NOT_FOUND, 'The messages of this server have no extensions.')
        break
      default:
    }
  }
  const fields = encodeMessage(REFLECTION, { valid_host: host, ...response })
  const original = new BinaryWriter().tag(ORIGINAL, WireType.LengthDelimited).bytes(message)
  return Buffer.concat([fields, original.finish()])
}

function defines({ symbols }: DescribedFile, symbol: string): boolean {
  return symbols.some((one) => symbol === one || symbol.startsWith(`${one}.`))
}

function fileResponse(file: DescribedFile | undefined): object {
  if (file === undefined) return failure(CODES.NOT_FOUND, 'The server has no such file or symbol.')
  return { file_descriptor_response: { file_descriptor_proto: [file.descriptor] } }
}

function failure(error_code: number, error_message: string): object {
  return { error_response: { error_code, error_message } }
}
