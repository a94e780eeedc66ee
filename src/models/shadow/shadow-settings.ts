/** The settings of the shadow of a model. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'
import { fits, problemWith } from '../../schema.ts'
import { MODEL_NAME_PATTERN } from '../sources/model-name.ts'

const Amount = Type.Number({ minimum: 0, maximum: 1 })

const ToleranceSchema = Type.Object(
  {
    absolute: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1e300, description: 'Part of the tolerance of floats.' }),
    ),
    relative: Type.Optional(Amount),
    divergence: Type.Optional(Amount),
    cosine: Type.Optional(Type.Number({ minimum: -1, maximum: 1 })),
    iou: Type.Optional(Amount),
  },
  {
    additionalProperties: false,
    description:
      'How much outputs may differ and still agree. Floats may differ by absolute + relative · size; the divergence of probabilities has a maximum, the cosine of embeddings and the IoU of boxes a minimum.',
  },
)

export const ShadowSchema = Type.Object(
  {
    version: Type.String({
      pattern: MODEL_NAME_PATTERN.source,
      description:
        'The version that gets copies. A label stands for the version that it names now.',
    }),
    share: Type.Optional(
      Type.Number({
        minimum: 0.0001,
        maximum: 1,
        description: 'Share of the requests that are copied. Default: 1.',
      }),
    ),
    tolerance: Type.Optional(ToleranceSchema),
    keepInputs: Type.Optional(
      Type.Boolean({
        description:
          'Whether the report has the inputs of its worst requests. They are kept in memory only. Default: false.',
      }),
    ),
  },
  { additionalProperties: false, $id: 'Shadow' },
)

/** The version of a model that gets copies of requests. */
export type Shadow = Static<typeof ShadowSchema>

/**
 * Checks settings from outside.
 * @param versionOf Returns the version that a name or label stands for.
 * @throws ServerError 400, 404 for a version that does not exist.
 */
export function checkShadow(
  value: unknown,
  model: string,
  versionOf: (name: string) => string | undefined,
): Shadow {
  if (!fits(ShadowSchema, value)) {
    const problem = `The shadow is not valid: ${problemWith(ShadowSchema, value) ?? ''}.`
    throw new ServerError('BadRequestException', problem)
  }
  const version = versionOf(value.version)
  if (version !== undefined) return { ...value, version }
  const text = `Model version: ${value.version} does not exist for model: ${model}`
  throw new ServerError('ModelVersionNotFoundException', text)
}
