/**
 * Finds the outputs of a classifier, its class and its scores, and decides how `/predictions`
 * writes them.
 */
import { ServerError } from '../../../../errors.ts'
import type { ModelSettings } from '../../../../model-folder/settings.ts'
import type { ClassList } from '../graph/class-list.ts'
import { classSources } from '../graph/class-sources.ts'
import type { ClassSource } from '../graph/class-sources.ts'
import { quote, specListText, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'

const FLOATS: ReadonlySet<string> = new Set(['FP16', 'FP32', 'FP64'])
const CLASSES: ReadonlySet<string> = new Set(['INT32', 'INT64', 'BYTES'])

/** What is known of a model before its outputs get labels. */
export interface LabelFacts {
  /** The `.onnx` file. */
  readonly file: string
  readonly outputs: readonly TensorSpec[]
  /** Classes of the outputs that are maps in the file. */
  readonly zipMaps: ReadonlyMap<string, ClassList>
  readonly settings: Pick<ModelSettings, 'output' | 'probabilities'>
  /** The labels that `model.json` names, in the order of the classes. */
  readonly labels: readonly string[] | undefined
}

/**
 * Returns the outputs with their labels and forms.
 * @throws ServerError `InvalidModelException` when the settings do not fit the model.
 */
export function labelOutputs(facts: LabelFacts): readonly TensorSpec[] {
  const { file, outputs, zipMaps, settings, labels } = facts
  const isUsed = labels !== undefined || settings.probabilities !== undefined
  const named = isUsed ? namedOutput(outputs, settings.output) : undefined
  const sources = outputs.some(isColumn) ? classSources(file) : new Map<string, ClassSource>()
  const scores = named !== undefined && isTable(named) ? named : only(outputs.filter(isTable))
  const label =
    named !== undefined && isColumn(named)
      ? named
      : only(outputs.filter((spec) => isColumn(spec) && sources.has(spec.name)))
  const classes = label && sources.get(label.name)?.classes
  if (settings.probabilities === 'object' && scores === undefined && zipMaps.size === 0) {
    throw noObject('the model has no output that can only be the scores; set "output"')
  }
  return outputs.map((spec) => {
    const zipped = zipMaps.get(spec.name)
    if (zipped !== undefined) {
      const names = namesOf(zipped, labels) ?? textsOf(zipped)
      return asScores(spec, names, settings.probabilities, 'object')
    }
    if (spec === scores) {
      const names = classes === undefined ? labels : namesOf(classes, labels)
      return asScores(spec, names, settings.probabilities)
    }
    return spec === label
      ? asClass(spec, facts, { classes, scores, isNamed: spec === named })
      : spec
  })
}

/** The output that the setting `output` names. */
function namedOutput(
  outputs: readonly TensorSpec[],
  name: string | undefined,
): TensorSpec | undefined {
  if (name === undefined) return undefined
  const found = outputs.find((output) => output.name === name)
  if (found === undefined) {
    const has = `the model has ${specListText(outputs)}`
    throw invalid(`model.json names output ${quote(name)}; ${has}.`)
  }
  if (isTable(found) || isColumn(found)) return found
  const expected = 'it must be float [N,classes], or integers [N]'
  const text = `Output ${quote(name)}, ${specText(found)}, cannot have labels: ${expected}.`
  throw invalid(text)
}

/** The only element of a list; `undefined` if it has none or several. */
function only(specs: readonly TensorSpec[]): TensorSpec | undefined {
  return specs.length === 1 ? specs[0] : undefined
}

/**
 * An output of scores. With too few or too many labels it has none.
 * @param form The form if `model.json` asks for none.
 */
function asScores(
  spec: TensorSpec,
  names: readonly string[] | undefined,
  asked: ModelSettings['probabilities'],
  form: ModelSettings['probabilities'] = 'array',
): TensorSpec {
  const columns = spec.shape[1] ?? -1
  const problem =
    names === undefined
      ? 'the classes have no labels'
      : columns >= 0 && columns !== names.length
        ? `there are ${names.length} labels for output ${quote(spec.name)}, ${specText(spec)}`
        : new Set(names).size < names.length
          ? 'two labels are equal'
          : undefined
  if (names === undefined || problem !== undefined) {
    if (asked === 'object') throw noObject(problem ?? '')
    return spec
  }
  const isObject = (asked ?? form) === 'object'
  return { ...spec, labels: names, ...(isObject ? { form: 'object' } : {}) }
}

interface ClassFacts {
  /** The classes that the model lists. */
  readonly classes: ClassList | undefined
  readonly scores: TensorSpec | undefined
  /** Whether `model.json` names the output. */
  readonly isNamed: boolean
}

/**
 * An output of classes. Numbers become labels only if there are as many labels in `model.json` as
 * classes in the model, or `model.json` names the output.
 */
function asClass(
  spec: TensorSpec,
  { labels }: LabelFacts,
  { classes, scores, isNamed }: ClassFacts,
): TensorSpec {
  if (spec.datatype === 'BYTES') {
    return classes?.kind === 'texts' ? { ...spec, labels: classes.texts } : spec
  }
  if (labels === undefined) return spec
  const columns = scores?.shape[1]
  const isComplete = isNamed || columns === labels.length
  const names = classes === undefined ? (isComplete ? labels : undefined) : namesOf(classes, labels)
  if (names === undefined) {
    const count = `There are ${labels.length} labels`
    console.log(`${count}, which are not those of output ${quote(spec.name)}; it stays a number.`)
    return spec
  }
  const numbers = classes?.kind === 'numbers' ? classes.numbers : []
  const isInOrder = numbers.every((number, index) => number === index)
  return { ...spec, labels: names, form: 'label', ...(isInOrder ? {} : { classNumbers: numbers }) }
}

/**
 * The names of classes that a model lists. A number is named by its place in the list if there are
 * as many labels as classes, otherwise it is the place of its label.
 */
function namesOf(
  classes: ClassList,
  labels: readonly string[] | undefined,
): readonly string[] | undefined {
  if (classes.kind === 'texts') return classes.texts
  const { numbers } = classes
  if (labels === undefined || labels.length === numbers.length) return labels
  const names = numbers.flatMap((number) => labels[number] ?? [])
  return names.length === numbers.length ? names : undefined
}

function textsOf(classes: ClassList): readonly string[] {
  return classes.kind === 'texts' ? classes.texts : classes.numbers.map(String)
}

/** Float [N,classes], which an output of scores must be. One column is a number, not a choice. */
function isTable({ datatype, shape: [, columns, ...rest] }: TensorSpec): boolean {
  return FLOATS.has(datatype) && columns !== undefined && columns !== 1 && rest.length === 0
}

/** [N] or [N,1], which an output of classes must be. */
function isColumn({ datatype, shape: [rows, columns = 1, ...rest] }: TensorSpec): boolean {
  return CLASSES.has(datatype) && rows !== undefined && columns === 1 && rest.length === 0
}

function noObject(problem: string): ServerError {
  return invalid(`model.json sets "probabilities" to "object", but ${problem}.`)
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
