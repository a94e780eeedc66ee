/**
 * The gRPC definition of a model: the file `inference.proto`, below comments with the tensors of
 * the model and a call of it.
 */
import { Type } from '@sinclair/typebox'
import { asHandlerMetadata } from '../../models/model-metadata.ts'
import type { TensorMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { readProtoFile } from '../../package-files.ts'
import type { App, RouteContext } from '../route-context.ts'
import { findModel } from './v2-models.ts'
import { ModelParams, VersionParams, protocolErrors } from './v2-schemas.ts'

/** The member of `contents` with the elements of a datatype. FP16 and BF16 have none. */
const CONTENTS: Readonly<Record<string, string>> = {
  BOOL: 'bool_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
}
/** A call with more elements does not fit into a readable line. */
const MAX_ELEMENTS = 64
/** `1` in base64, as the JSON form of protobuf has bytes. */
const SAMPLE_TEXT = 'MQ=='

/** Adds `/v2/models/{model}[/versions/{version}]/proto`. */
export function protoRoutes(app: App, context: RouteContext): void {
  const schema = (operationId: string, summary: string) => ({
    operationId,
    summary,
    tags: ['documents'],
    response: { 200: Type.String(), ...protocolErrors },
    openapi: {
      responses: {
        200: {
          description: 'A file of protobuf.',
          content: { 'text/plain': { schema: { type: 'string' } } },
        },
      },
    },
  })
  app.get(
    '/v2/models/:model/proto',
    {
      schema: {
        ...schema('modelProto', 'gRPC definition, and a call of the default version of a model'),
        params: ModelParams,
      },
    },
    async ({ params }, reply) =>
      reply.type('text/plain; charset=utf-8').send(await protoOf(context, params.model)),
  )
  app.get(
    '/v2/models/:model/versions/:version/proto',
    {
      schema: {
        ...schema('modelVersionProto', 'gRPC definition, and a call of one version of a model'),
        params: VersionParams,
      },
    },
    async ({ params: { model, version } }, reply) =>
      reply.type('text/plain; charset=utf-8').send(await protoOf(context, model, version)),
  )
}

async function protoOf(
  { config, registry }: RouteContext,
  name: string,
  version?: string,
): Promise<string> {
  const model = findModel(registry, name, version)
  await model.learnMetadata()
  const isOff = config.grpcPort < 0
  const lines = [
    ...tensorLines(model),
    '',
    ...callLines(model, version, isOff || config.grpcPort === 0 ? 8001 : config.grpcPort),
    ...(isOff ? ['', 'This server has no gRPC listener; start it with --grpc-port 8001.'] : []),
  ]
  const comment = lines.map((line) => `// ${line}`.trimEnd()).join('\n')
  return `${comment}\n\n${await readProtoFile('inference.proto')}`
}

function tensorLines(model: ModelVersion): string[] {
  const { inputs = [], outputs = [] } = asHandlerMetadata(model.metadata) ?? {}
  const line =
    (what: string) =>
    ({ name, datatype, shape }: TensorMetadata): string =>
      oneLine(`${what} ${name}: ${datatype} [${shape.join(', ')}]`)
  return [
    `Model ${model.name}, version ${model.version}`,
    ...inputs.map(line('input ')),
    ...outputs.map(line('output')),
  ]
}

/** The call with grpcurl, or the reason why there is none. */
function callLines(model: ModelVersion, version: string | undefined, port: number): string[] {
  const inputs = asHandlerMetadata(model.metadata)?.inputs
  if (inputs === undefined) return ['Custom handlers cannot be called over gRPC; use HTTP.']
  const tensors = inputs.map((input) => {
    const shape = input.shape.map((size) => Math.max(size, 1))
    const member = CONTENTS[input.datatype]
    const count = shape.reduce((product, size) => product * size, 1)
    if (member === undefined || count > MAX_ELEMENTS) return undefined
    const sample = sampleOf(input.datatype)
    const contents = { [member]: Array.from({ length: count }, () => sample) }
    return { name: input.name, datatype: input.datatype, shape, contents }
  })
  if (tensors.includes(undefined))
    return [`Send the elements in raw_input_contents, little-endian, one entry for each input.`]
  const message = JSON.stringify({
    model_name: model.name,
    ...(version !== undefined && { model_version: model.version }),
    inputs: tensors,
  })
  return [
    `grpcurl -plaintext -d ${quoted(message)} localhost:${port} inference.GRPCInferenceService/ModelInfer`,
  ]
}

function sampleOf(datatype: string): string | number | boolean {
  if (datatype === 'BYTES') return SAMPLE_TEXT
  return datatype === 'BOOL' ? false : 0
}

/** Quoted for a shell, as one line of a comment. */
function quoted(text: string): string {
  return `'${oneLine(text).replaceAll("'", String.raw`'\''`)}'`
}

/** Names of tensors may contain any character; a line break would end the comment. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, ' ')
}
