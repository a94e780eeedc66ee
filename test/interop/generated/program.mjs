/**
 * Uses a compiled typescript-fetch client of openapi-generator. Its argument is the base URL. It
 * reads calls.json and prints the results.
 */
import { readFileSync } from 'node:fs'
import * as onnxd from './compiled/index.js'

const [, , basePath] = process.argv
const configuration = new onnxd.Configuration({ basePath })
const plan = JSON.parse(readFileSync('calls.json', 'utf8'))

/** The export with this name, whatever the generator made of its capitals and other signs. */
function found(name) {
  const wanted = plain(name)
  const known = Object.keys(onnxd).find((one) => plain(one) === wanted)
  if (known === undefined) throw new Error(`there is no ${name}`)
  return onnxd[known]
}

function plain(name) {
  return name.replaceAll(/[^A-Za-z0-9]/g, '').toLowerCase()
}

const results = []
for (const { api, operation, schema, answerSchema, body } of plan.calls) {
  const instance = new (found(`${api}Api`))(configuration)
  const request = found(`${schema}FromJSON`)(body)
  // The generator begins the name of the parameter with a small letter.
  const parameters = new Proxy(
    {},
    { get: (_, key) => (plain(String(key)) === plain(schema) ? request : undefined) },
  )
  const method = Object.getOwnPropertyNames(Object.getPrototypeOf(instance)).find(
    (one) => plain(one) === plain(operation),
  )
  results.push(found(`${answerSchema}ToJSON`)(await instance[method](parameters)))
}

const raw = await new onnxd.IdentityFp16Api(configuration).inferIdentityFp16({
  body: new Blob([new Uint8Array([0, 60])]),
  inferenceHeaderContentLength: 0,
  tensorShape: '1,1',
})
const bytes = new Uint8Array(await raw.arrayBuffer())
const image = new Blob([readFileSync(plan.picture)], { type: 'image/png' })
const classes = await new onnxd.DigitsApi(configuration).predictDigits({ image })
const statistics = await new onnxd.ModelsApi(configuration).allStatistics()
const management = new onnxd.ManagementApi(configuration)
const uploaded = await management.uploadModel({
  model: new File([readFileSync(plan.file)], 'uploaded.onnx'),
  modelName: 'from-typescript',
  initialWorkers: 1,
})
const registered = await management.registerModel({
  registerModelRequest: { url: 'simple', modelName: 'again-typescript' },
})
const listed = await management.listModels({ limit: 2 })

console.log(
  JSON.stringify({
    results,
    raw: Array.from(bytes.slice(-2)),
    digit: classes[0]['_class'],
    lastInference: Math.max(...statistics.modelStats.map((one) => one.lastInference)),
    models: statistics.modelStats.length,
    uploaded: uploaded.status,
    registered: registered.status,
    listed: listed.models.length,
  }),
)
