/** A client of the gRPC listener: that of gRPC's project, with the `.proto` files of this one. */
import path from 'node:path'
import { Client, Metadata, credentials } from '@grpc/grpc-js'
import type {
  CallOptions,
  ClientDuplexStream,
  ClientReadableStream,
  MethodDefinition,
  ServiceError,
} from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import type { Cleanup } from './server.ts'

/** A message as an object with the names of its `.proto` file. */
export type Message = Record<string, unknown>

type Method = MethodDefinition<Message, Message>

const FOLDER = path.resolve('openapi/grpc')
const UNLIMITED = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
} as const
export const INFERENCE = 'inference.GRPCInferenceService'

const roots = new Map<string, protobuf.Root>()

/** The messages and services of a file in `openapi/grpc`. */
export function protoFile(file: string): protobuf.Root {
  const known = roots.get(file)
  if (known !== undefined) return known
  const root = new protobuf.Root()
  root.loadSync(path.join(FOLDER, `${file}.proto`), { keepCase: true })
  root.resolveAll()
  roots.set(file, root)
  return root
}

function methodOf(service: string, name: string, file = 'inference'): Method {
  const root = protoFile(file)
  const found = root.lookupService(service).methods[name]
  const { resolvedRequestType: request, resolvedResponseType: response } = found ?? {}
  if (!request || !response) throw new Error(`there is no method ${name}`)
  return {
    path: `/${service}/${name}`,
    requestStream: found?.requestStream === true,
    responseStream: found?.responseStream === true,
    requestSerialize: (value) => bytesOf(request, value),
    requestDeserialize: (bytes) => objectOf(request, bytes),
    responseSerialize: (value) => bytesOf(response, value),
    responseDeserialize: (bytes) => objectOf(response, bytes),
  }
}

function bytesOf(type: protobuf.Type, value: Message): Buffer {
  return Buffer.from(type.encode(type.fromObject(value)).finish())
}

/** The fields of a message: 64-bit numbers as texts, enumerations as names, all defaults. */
export function objectOf(type: protobuf.Type, bytes: Uint8Array): Message {
  const options = { longs: String, enums: String, defaults: true, oneofs: true }
  return type.toObject(type.decode(bytes), options)
}

/** The bytes of a `ModelInferRequest`. */
export function inferMessage(request: Message): Buffer {
  return methodOf(INFERENCE, 'ModelInfer').requestSerialize(request)
}

/** The fields of the bytes of a `ModelInferResponse`. */
export function inferResponse(bytes: Buffer): Message {
  return methodOf(INFERENCE, 'ModelInfer').responseDeserialize(bytes)
}

/** A call that failed. */
export type CallError = Pick<ServiceError, 'code' | 'details' | 'metadata'>

/** What a call came to. */
export interface CallResult {
  readonly error: CallError | undefined
  readonly response: Message
}

/** Options of a call. */
export interface TestCallOptions extends CallOptions {
  readonly service?: string
  readonly file?: string
  readonly headers?: Readonly<Record<string, string>>
}

export class GrpcTestClient {
  readonly #client: Client

  /** The client is closed after the test. */
  constructor(
    t: Cleanup,
    address: string,
    options: Readonly<Record<string, string | number>> = {},
  ) {
    this.#client = new Client(address, credentials.createInsecure(), { ...UNLIMITED, ...options })
    t.after(() => this.#client.close())
  }

  /** Makes a call with one request and one response. */
  call(name: string, request: Message = {}, options: TestCallOptions = {}): Promise<CallResult> {
    return new Promise((resolve) => this.start(name, request, resolve, options))
  }

  /** As {@link call}; returns a function that cancels the call. */
  start(
    name: string,
    request: Message,
    onResult: (result: CallResult) => void,
    { service = INFERENCE, file, headers = {}, ...options }: TestCallOptions = {},
  ): () => void {
    const method = methodOf(service, name, file)
    const call = this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(headers),
      options,
      (error, response) => onResult({ error: error ?? undefined, response: response ?? {} }),
    )
    return () => call.cancel()
  }

  /** The response of a call that must succeed. */
  async ask(name: string, request: Message = {}, options: TestCallOptions = {}): Promise<Message> {
    const { error, response } = await this.call(name, request, options)
    if (error !== undefined) throw new Error(`${name}: ${error.code} ${error.details}`)
    return response
  }

  /** The error of a call that must fail. */
  async fail(name: string, request: Message, options: TestCallOptions = {}): Promise<CallError> {
    const { error } = await this.call(name, request, options)
    if (error === undefined) throw new Error(`${name} did not fail`)
    return error
  }

  /** The error of a call of an unknown method. */
  raw(target: string): Promise<CallError> {
    const bytes = (value: Buffer): Buffer => value
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(target, bytes, bytes, Buffer.alloc(0), (error) =>
        error === null ? reject(new Error(`${target} did not fail`)) : resolve(error),
      )
    })
  }

  /** Opens a stream of requests and responses. */
  stream(
    name = 'ModelStreamInfer',
    { service = INFERENCE, file, headers = {}, ...options }: TestCallOptions = {},
  ): ClientDuplexStream<Message, Message> {
    const method = methodOf(service, name, file)
    return this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadataOf(headers),
      options,
    )
  }

  /** Makes a call with many responses. */
  watch(name: string, request: Message, options: TestCallOptions): ClientReadableStream<Message> {
    const method = methodOf(options.service ?? INFERENCE, name, options.file)
    return this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
    )
  }
}

function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return metadata
}
