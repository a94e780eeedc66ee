/** The setting of `model.json` for a model that is a chain of other models. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'

const Name = Type.String({ minLength: 1, maxLength: 200 })
const Names = Type.Record(Type.String({ minLength: 1, maxLength: 200 }), Name)

export const PipelineSettings = Type.Object(
  {
    steps: Type.Array(
      Type.Object(
        {
          model: Type.String({ minLength: 1, description: 'Name of a model of the same server.' }),
          version: Type.Optional(
            Type.String({
              description: 'Its version. Default: as for a client without a version.',
            }),
          ),
          inputs: Names,
          outputs: Names,
        },
        { additionalProperties: false },
      ),
      {
        minItems: 1,
        maxItems: 64,
        description:
          'The models, in the order in which they run. `inputs` and `outputs` map the names of the model to names of the pipeline.',
      },
    ),
    outputs: Type.Optional(
      Type.Array(Name, {
        minItems: 1,
        uniqueItems: true,
        description: 'Names in the response. Default: the outputs that no other step reads.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Run other models of the server one after the other, in place of an `.onnx` file. A name that no step writes is an input of the pipeline.',
  },
)
export type PipelineSettings = Static<typeof PipelineSettings>
