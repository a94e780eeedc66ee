import { OnnxHandler, PredictionException, tensor } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest } from 'onnxd/handler'
import type { Inputs, Model, Outputs } from './model.d.ts'

type Request = HandlerRequest<Inputs, Outputs>
type Reading = Exclude<keyof Inputs, 'kind'>

/** What a pump in good order has, and what a sensor can measure at all. */
const READINGS: Readonly<Record<Reading, { usual: number; least: number; most: number }>> = {
  hours: { usual: 1000, least: 0, most: 100_000 },
  temperature: { usual: 58, least: -40, most: 200 },
  vibration: { usual: 2, least: 0, most: 50 },
  pressure: { usual: 6, least: 0, most: 40 },
}
/** For each table the model runs once more for each reading, and its worker serves nobody else. */
const MOST_ROWS = 1000
/** Reading a table takes time too, so a body that is far too long is not read. */
const MOST_BYTES = 200_000
const TOO_LARGE = `Send at most ${MOST_ROWS} rows in ${MOST_BYTES} bytes.`
const NAMES = Object.keys(READINGS) as Reading[]

interface Score {
  /** From 0 to 100. */
  readonly score: number
  readonly action: 'none' | 'inspect' | 'stop'
  /** How many points less the score would have with the usual value of this reading. */
  readonly reasons: Readonly<Partial<Record<Reading, number>>>
}

/** Scores pumps by their readings, and says which readings are the reason. */
export class Pumps extends OnnxHandler<Model> {
  /** The built-in handler reads the table: CSV, JSON or Parquet. */
  override async preprocess(request: Request): Promise<Inputs> {
    checkSize(request)
    const inputs = await request.tensors()
    checkRows(inputs)
    for (const name of NAMES) {
      const { least, most } = READINGS[name]
      const row = inputs[name].data.findIndex((value) => !(value >= least && value <= most))
      if (row >= 0) {
        throw new PredictionException(
          `Row ${row + 1}: ${name} is not from ${least} to ${most}.`,
          422,
        )
      }
    }
    return inputs
  }

  override async postprocess(
    outputs: Outputs,
    request: Request,
    { model }: HandlerContext<Model>,
  ): Promise<Score[]> {
    const inputs = await request.tensors()
    const scores = scoresOf(outputs)
    const reasons = scores.map((): Score['reasons'] => ({}))
    for (const name of NAMES) {
      const { data, dims } = inputs[name]
      const usual = tensor(
        'float32',
        new Float32Array(data.length).fill(READINGS[name].usual),
        dims,
      )
      const changed = scoresOf(await model.run({ ...inputs, [name]: usual }, ['probabilities']))
      for (const [row, score] of scores.entries()) {
        const points = score - (changed[row] ?? score)
        if (points >= 5) reasons[row] = { ...reasons[row], [name]: points }
      }
    }
    return scores.map((score, row) => ({
      score,
      action: score >= 80 ? 'stop' : score >= 40 ? 'inspect' : 'none',
      reasons: reasons[row] ?? {},
    }))
  }
}

/** JSON and the tensors of other protocols are read fast. A compressed body is plain here. */
function checkSize(request: Request): void {
  const isJson = request.headers['content-type']?.startsWith('application/json') ?? false
  if (isJson || request.protocol !== 'predictions') return
  const isLong = (value: unknown): boolean =>
    (typeof value === 'string' || Buffer.isBuffer(value)) && value.length > MOST_BYTES
  if (Object.values(request.data).some(isLong)) throw new PredictionException(TOO_LARGE, 413)
}

/** Rejects a table before its first run: each column has the same number of rows, and not too many. */
function checkRows(inputs: Inputs): void {
  const rows = inputs.kind.dims[0]
  if (Object.values(inputs).some(({ dims }) => dims[0] !== rows)) {
    throw new PredictionException('The columns have different numbers of rows.', 422)
  }
  if (rows === 0) throw new PredictionException('The table has no rows.', 422)
  if (rows > MOST_ROWS) throw new PredictionException(TOO_LARGE, 413)
}

/** The probability of a failure of each row, in percent. */
function scoresOf({ probabilities }: Pick<Outputs, 'probabilities'>): number[] {
  const [rows] = probabilities.dims
  return Array.from({ length: rows }, (_, row) =>
    Math.round((probabilities.data[2 * row + 1] ?? 0) * 100),
  )
}
