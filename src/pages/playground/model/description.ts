/** What the page knows of a model: from its metadata and its OpenAPI document. */
import type { TextForm } from './text-form.ts'
import { textForm } from './text-form.ts'
import { elementsOf, memberOf, membersOf, resolved, textOf, textsOf } from './unknown-json.ts'

/** An input or an output. */
export interface Tensor {
  readonly name: string
  readonly datatype: string
  /** Open sizes are -1. */
  readonly shape: readonly number[]
  /** Datatype and shape with the names of open dimensions: `FP32 [N,4]`. */
  readonly text: string
  /** Names of the classes, if the output has classes. */
  readonly labels?: readonly string[] | undefined
}

/** The form of a request. */
export type RequestForm =
  | {
      readonly kind: 'tensors'
      /** Names of the columns of a table; absent if they have none. */
      readonly columns?: readonly string[] | undefined
      readonly acceptsCsv: boolean
    }
  | { readonly kind: 'image' }
  | ({ readonly kind: 'text' } & TextForm)
  | { readonly kind: 'free' }

export interface ModelDescription {
  readonly name: string
  /** Absent for the default version. */
  readonly version: string | undefined
  /** The versions that are loaded. */
  readonly versions: readonly string[]
  readonly platform: string
  /** What the model responds with, as a sentence of the document. */
  readonly summary: string
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly Tensor[]
  readonly form: RequestForm
}

/**
 * Reads the description of a model.
 * @param metadata Response of `GET /v2/models/{model}`.
 * @param document The OpenAPI document of the model.
 */
export function describeModel(
  metadata: unknown,
  document: unknown,
  version?: string,
): ModelDescription {
  const operation = predictOperation(document)
  const body = memberOf(operation, 'requestBody')
  const response = memberOf(operation, 'responses', '200')
  const schema = resolved(memberOf(body, 'content', 'application/json', 'schema'), document)
  const answer = resolved(memberOf(response, 'content', 'application/json', 'schema'), document)
  const inputs = tensorsOf(memberOf(metadata, 'inputs'), memberOf(schema, 'properties'))
  const outputs = tensorsOf(memberOf(metadata, 'outputs'), memberOf(answer, 'properties'))
  const form = formOf(body, schema, inputs, document)
  return {
    name: textOf(memberOf(metadata, 'name')) ?? '',
    version,
    versions: textsOf(memberOf(metadata, 'versions')),
    platform: textOf(memberOf(metadata, 'platform')) ?? '',
    summary: summaryOf(textOf(memberOf(response, 'description')) ?? '', form),
    inputs,
    outputs,
    form,
  }
}

function predictOperation(document: unknown): unknown {
  const [, item] =
    Object.entries(membersOf(memberOf(document, 'paths'))).find(([path]) =>
      path.startsWith('/predictions/'),
    ) ?? []
  return memberOf(item, 'post')
}

function tensorsOf(tensors: unknown, properties: unknown): Tensor[] {
  return elementsOf(tensors).map((tensor) => {
    const name = textOf(memberOf(tensor, 'name')) ?? ''
    const datatype = textOf(memberOf(tensor, 'datatype')) ?? ''
    const shape = elementsOf(memberOf(tensor, 'shape')).map(Number)
    const property = memberOf(properties, name)
    const [described = ''] =
      /^\w+ (?:\[[^\]]*\]|of any shape)/.exec(textOf(memberOf(property, 'description')) ?? '') ?? []
    const sizes = shape.map((size) => (size < 0 ? '?' : size)).join(',')
    return {
      name,
      datatype,
      shape,
      text: described === '' ? `${datatype} [${sizes}]` : described,
      labels: labelsOf(property),
    }
  })
}

/** The labels in the schema of an output: of its elements, or the keys of its rows. */
function labelsOf(schema: unknown): readonly string[] | undefined {
  let element = schema
  while (memberOf(element, 'type') === 'array') element = memberOf(element, 'items')
  const names = textsOf(memberOf(element, 'enum'))
  if (names.length > 0) return names
  const keys = textsOf(memberOf(element, 'required'))
  return keys.length > 0 ? keys : undefined
}

function formOf(
  body: unknown,
  schema: unknown,
  inputs: readonly Tensor[],
  document: unknown,
): RequestForm {
  const content = membersOf(memberOf(body, 'content'))
  if (Object.hasOwn(content, 'image/png')) return { kind: 'image' }
  if (inputs.length === 0) return { kind: 'free' }
  const names = Object.keys(membersOf(memberOf(schema, 'properties')))
  const areTensors = inputs.every(({ name }) => names.includes(name))
  if (!areTensors) {
    const examples = memberOf(content['application/json'], 'examples')
    return { kind: 'text', ...textForm(schema, memberOf(examples, 'smallest', 'value')) }
  }
  const record = resolved(memberOf(content['application/x-ndjson'], 'schema'), document)
  const columns = textsOf(memberOf(record, 'required'))
  return {
    kind: 'tensors',
    columns: columns.length > 0 ? columns : undefined,
    acceptsCsv: Object.hasOwn(content, 'text/csv'),
  }
}

/** @param response Description of the response in the document; its first sentence counts. */
function summaryOf(response: string, form: RequestForm): string {
  // The code marks of Markdown are not for readers.
  const [sentence = ''] = /^.*?\.(?=\s|$)/.exec(response.replaceAll('`', '')) ?? []
  switch (form.kind) {
    case 'tensors':
      return 'Takes tensors and responds with tensors.'
    case 'free':
      return 'A custom handler decides what the model takes and how it responds.'
    case 'image':
      return `Takes an image. Response: ${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`
    default:
      return sentence
  }
}
