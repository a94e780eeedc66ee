/**
 * Compares two responses to the same request, output by output. The order of the two matters only
 * for the words of reasons. `rules.ts` says how outputs are compared.
 */
import { messageOf } from '../errors.ts'
import { shown, unlike } from './comparison.ts'
import type {
  ComparedResponse,
  Comparison,
  ComparisonKind,
  ComparisonOptions,
  NamedValues,
  OutputComparison,
  OutputKind,
  Tolerance,
} from './comparison.ts'
import { decodeResponse, headerOf, mediaTypeOf } from './decoding/decode.ts'
import { Findings } from './findings.ts'
import { compareTensors } from './tensors.ts'
import { treeOfTexts } from './text-elements.ts'
import { compareTrees } from './trees.ts'
import type { Walk } from './trees.ts'

export type {
  ComparedResponse,
  Comparison,
  ComparisonKind,
  ComparisonOptions,
  OutputComparison,
  OutputKind,
  Tolerance,
}

/** Headers that say how a body is to be read. */
const FORM_HEADERS = [
  'content-encoding',
  'inference-header-content-length',
  'tensor-name',
  'tensor-datatype',
  'tensor-shape',
] as const

/** Compares the response of a candidate with that of the reference. Never throws. */
export function compareResponses(
  reference: ComparedResponse,
  candidate: ComparedResponse,
  { tolerance = {} }: ComparisonOptions = {},
): Comparison {
  if (reference.status !== candidate.status)
    return different('status', `the status is ${candidate.status} instead of ${reference.status}`)
  const [type, otherType] = [mediaTypeOf(reference), mediaTypeOf(candidate)]
  if (type !== otherType)
    return different('type', `the content type is ${shown(otherType)} instead of ${shown(type)}`)
  if (isIdentical(reference, candidate)) return { agrees: true, kind: 'identical', outputs: [] }
  try {
    return compareBodies(reference, candidate, tolerance)
  } catch (error) {
    // For example, a text is longer than the engine allows.
    return different('form', `the bodies cannot be compared: ${shown(messageOf(error))}`)
  }
}

function compareBodies(
  reference: ComparedResponse,
  candidate: ComparedResponse,
  tolerance: Tolerance,
): Comparison {
  const one = decodeResponse(reference)
  const other = decodeResponse(candidate)
  const findings = new Findings()
  if (one.form === 'tensors' && other.form === 'tensors') {
    compareOutputs(one.outputs, other.outputs, { tolerance, findings })
  } else if (one.form === 'tree' && other.form === 'tree') {
    compareTrees(one.value, other.value, { tolerance, findings })
  } else if (one.form === 'bytes' && other.form === 'bytes') {
    findings.add(unlike('body', 'the bytes differ', 'bytes'))
    return resultOf('bytes', findings)
  } else {
    return different('form', 'the bodies do not have the same form')
  }
  return resultOf('values', findings)
}

function resultOf(kind: ComparisonKind, findings: Findings): Comparison {
  const { reason, outputs } = findings
  const agrees = reason === undefined
  return { agrees, kind, outputs, ...(!agrees && { reason }) }
}

function compareOutputs(
  one: readonly NamedValues[],
  other: readonly NamedValues[],
  walk: Walk,
): void {
  const { findings } = walk
  const left = new Map(other.map((output) => [output.name, output]))
  for (const output of one) {
    const partner = left.get(output.name)
    left.delete(output.name)
    if (partner === undefined) findings.add(unlike(output.name, 'the response has no such output'))
    else compareOutput(output, partner, walk)
  }
  for (const name of left.keys()) findings.add(unlike(name, 'only this response has this output'))
}

function compareOutput(one: NamedValues, other: NamedValues, walk: Walk): void {
  const tree = treeOfTexts(one)
  const otherTree = tree === undefined ? undefined : treeOfTexts(other)
  if (otherTree !== undefined) compareTrees(tree, otherTree, walk, one.name)
  else walk.findings.add(compareTensors(one, other, walk.tolerance))
}

/** Also covers bodies that are not valid: a response agrees with itself. */
function isIdentical(one: ComparedResponse, other: ComparedResponse): boolean {
  return (
    one.body.equals(other.body) &&
    FORM_HEADERS.every((name) => headerOf(one, name) === headerOf(other, name))
  )
}

function different(kind: ComparisonKind, reason: string): Comparison {
  return { agrees: false, kind, outputs: [], reason }
}
