/** Request bodies in forms of tables: CSV, JSON lines, NumPy files. */
import type { HandlerMetadata, TensorMetadata } from '../../models/model-metadata.ts'
import { elementSchema } from '../tensor-schemas.ts'
import type { Content, JsonSchema } from '../types.ts'

const BINARY = { type: 'string', format: 'binary' }

/** A column of a table with the input that it belongs to. */
interface Column {
  readonly name: string
  readonly input: TensorMetadata
}

/**
 * The content types of tables and NumPy files that a model accepts, besides JSON. A record has the
 * names of the columns as properties.
 */
export function tableContent(metadata: HandlerMetadata, typeName: string): Content {
  const { inputs } = metadata
  const columns = columnsOf(metadata)
  const [only, ...others] = inputs
  if (only === undefined) return {}
  const isSingle = others.length === 0
  return {
    ...(columns === undefined
      ? {}
      : { 'application/x-ndjson': { schema: recordSchema(columns, typeName) } }),
    ...(columns !== undefined || (isSingle && isMatrix(only))
      ? { 'text/csv': { schema: { type: 'string' } } }
      : {}),
    ...(isSingle
      ? { 'application/x-npy': { schema: BINARY } }
      : { 'application/x-npz': { schema: BINARY } }),
  }
}

/** The columns that have names; `undefined` if the model has none. */
function columnsOf({ inputs, columns }: HandlerMetadata): readonly Column[] | undefined {
  const [only, ...others] = inputs
  if (only !== undefined && columns !== undefined) {
    return columns.map((name) => ({ name, input: only }))
  }
  const areColumns =
    others.length > 0 ? inputs.every(isColumn) : only !== undefined && isColumn(only)
  return areColumns ? inputs.map((input) => ({ name: input.name, input })) : undefined
}

function isColumn({ shape, anyShape }: TensorMetadata): boolean {
  if (anyShape === true) return false
  return shape.length === 1 || (shape.length === 2 && shape[1] === 1)
}

function isMatrix({ shape, anyShape }: TensorMetadata): boolean {
  return anyShape !== true && shape.length === 2
}

function recordSchema(columns: readonly Column[], typeName: string): JsonSchema {
  return {
    $id: `${typeName}Record`,
    type: 'object',
    description: 'One row of the table, on one line.',
    // The server takes an absent member for a missing value; a client says so by `null`. A type
    // without a required member would accept any misspelt name.
    required: columns.map(({ name }) => name),
    properties: Object.fromEntries(
      // In a record, `null` is a missing value of a float column, as it is NaN in a response.
      columns.map(({ name, input }) => [name, elementSchema(input.datatype, 'answer')]),
    ),
    additionalProperties: false,
  }
}
