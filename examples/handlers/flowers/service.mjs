import path from 'node:path'
import ort from 'onnxruntime-node'

const FIELDS = ['sepalLength', 'sepalWidth', 'petalLength', 'petalWidth']
const SPECIES = ['setosa', 'versicolor', 'virginica']

/** Code around an ONNX model: named numbers in, a name out. All requests of a batch share one run. */
export class Flowers {
  async initialize(context) {
    const file = path.join(context.systemProperties.modelDir, 'model.onnx')
    this.session = await ort.InferenceSession.create(file)
  }

  async handle(data, context) {
    const rows = data.map(({ body }) => FIELDS.map((field) => Number(body?.[field])))
    const features = new ort.Tensor('float32', rows.flat(), [rows.length, FIELDS.length])
    const { label } = await this.session.run({ features })
    return rows.map((row, index) => {
      context.setResponseContentType(index, 'application/json')
      if (row.every(Number.isFinite)) return { species: SPECIES[Number(label.data[index])] }
      context.setResponseStatus(400, 'Bad flower', index)
      return { error: `Send JSON with the numbers ${FIELDS.join(', ')}.` }
    })
  }
}
