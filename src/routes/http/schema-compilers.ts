/** When the schemas of routes are compiled: not at the start, which is shorter by the time that Ajv takes to load and to compile them all. */
import { createRequire } from 'node:module'
import type { AjvCompiler, BuildCompilerFromPool } from '@fastify/ajv-compiler'
import type { TObject } from '@sinclair/typebox'
import type { FastifySchemaCompiler, FastifyServerOptions } from 'fastify'
import { problemWithNumbers } from './number-text.ts'
import { readValues } from './parameter-values.ts'
import type { ParameterTexts } from './parameter-values.ts'

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>

const require = createRequire(import.meta.url)

/** For Fastify. A schema of a request is compiled when its route is called for the first time. */
export const schemaController: SchemaController = {
  compilersFactory: {
    // Fastify's types ask for Ajv itself; it takes any compiler.
    buildValidator: compileLate as unknown as BuildCompilerFromPool,
    // The apps have a serializer of their own for all replies.
    buildSerializer: () => () => JSON.stringify,
  },
}

function compileLate(
  ...options: Parameters<BuildCompilerFromPool>
): FastifySchemaCompiler<TObject> {
  let compile: ReturnType<BuildCompilerFromPool> | undefined
  return (route) => {
    if (route.httpPart === 'params' && isAnyText(route.schema)) return () => true
    if (route.httpPart === 'querystring')
      return (query: ParameterTexts) => checkQuery(route.schema, query)
    let check: ReturnType<typeof compile & {}> | undefined
    return (value: unknown) => {
      const problem = problemWithNumbers(route.schema, value)
      if (problem !== undefined) return { error: problem }
      compile ??= loadAjv()(...options)
      // As Fastify would: Ajv's compiler takes the route, though its type says schema.
      check ??= compile(route)
      return check(value) === true || { error: check.errors ?? [] }
    }
  }
}

/**
 * Queries are texts, which Ajv would guess the meaning of: `1e999` became a number above any
 * maximum.
 */
function checkQuery(schema: TObject, query: ParameterTexts): { value: unknown } | { error: Error } {
  try {
    return { value: readValues(schema, query) }
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }
}

/** Whether each parameter of a path may be any text, as it always is. */
function isAnyText({ properties }: TObject): boolean {
  return Object.values(properties).every((parameter) =>
    Object.entries(parameter).every(
      ([key, value]) => key === 'description' || (key === 'type' && value === 'string'),
    ),
  )
}

function loadAjv(): BuildCompilerFromPool {
  const { default: ajvCompiler } = require('@fastify/ajv-compiler') as {
    default: typeof AjvCompiler
  }
  return ajvCompiler()
}
