/**
 * Compiles the schemas of routes on first use. Loading Ajv and compiling all schemas would make the
 * start slower.
 */
import { createRequire } from 'node:module'
import type { AjvCompiler, BuildCompilerFromPool } from '@fastify/ajv-compiler'
import type { TObject } from '@sinclair/typebox'
import type { FastifySchemaCompiler, FastifyServerOptions } from 'fastify'
import { problemWithNumbers } from './number-text.ts'
import { readValues } from './parameter-values.ts'
import type { ParameterTexts } from './parameter-values.ts'

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>

const require = createRequire(import.meta.url)

/** For Fastify. Compiles a schema of a request when its route is first called. */
export const schemaController: SchemaController = {
  compilersFactory: {
    // Fastify's type requires Ajv, but Fastify accepts any compiler.
    buildValidator: compileLate as unknown as BuildCompilerFromPool,
    // The apps use their own serializer for all replies.
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
      // Fastify passes the route too, although the type of Ajv's compiler says schema.
      check ??= compile(route)
      return check(value) === true || { error: check.errors ?? [] }
    }
  }
}

/**
 * Ajv would guess the types of query texts: `1e999` would become infinite and pass every maximum.
 */
function checkQuery(schema: TObject, query: ParameterTexts): { value: unknown } | { error: Error } {
  try {
    return { value: readValues(schema, query) }
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }
}

/** Whether all path parameters accept any text. This is true for all our routes. */
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
