/** Turns metrics that handlers printed into families of the page. */
import { hostname } from 'node:os'
import { Registry } from 'prom-client'
import { HISTOGRAM_SUFFIXES, addFamily, seriesOf, seriesOfHistogram } from './families.ts'
import type { FamilyType, Labels, Series } from './families.ts'
import type { PrintedFamily, PrintedMetrics } from './handler-metrics.ts'

/** The part of a model version that is read. */
export interface PrintingVersion {
  readonly name: string
  readonly version: string
  readonly statistics: { readonly printed: PrintedMetrics }
}

/** Series that are shown under one name. */
interface SharedFamily {
  type: FamilyType
  readonly unit: string
  readonly reads: (() => Series[])[]
}

const HOST = hostname()

/**
 * Returns the families of all versions, each once. If versions use a name with different types, its
 * series are shown as gauges. So no version can hide the metrics of another, and the page stays
 * valid.
 */
export function printedFamilies(versions: readonly PrintingVersion[]): Registry {
  const types = typesOf(versions)
  const all = new Map<string, SharedFamily>()
  const show = (name: string, type: FamilyType, unit: string, read: () => Series[]): void => {
    const shown = all.get(name) ?? { type, unit, reads: [] }
    if (shown.type !== type) shown.type = 'gauge'
    shown.reads.push(read)
    all.set(name, shown)
  }
  for (const { name: model, version, statistics } of versions) {
    const labels = { model, version }
    for (const [name, family] of statistics.printed.families) {
      const read = (): Series[] => readFamily(name, family, labels)
      if (family.type !== 'histogram' || isWholeHistogram(name, types)) {
        show(name, family.type, family.unit, read)
        continue
      }
      for (const part of HISTOGRAM_SUFFIXES.map((suffix) => name + suffix))
        show(part, 'gauge', family.unit, () => read().filter((one) => one.metricName === part))
    }
  }
  const registry = new Registry()
  for (const [name, { type, unit, reads }] of all) {
    const info = { name, help: `Metric that handlers print, in the unit ${unit}.`, labelNames: [] }
    addFamily(registry, type, info, () => reads.flatMap((read) => read()))
  }
  return registry
}

function typesOf(versions: readonly PrintingVersion[]): Map<string, Set<FamilyType>> {
  const types = new Map<string, Set<FamilyType>>()
  for (const { statistics } of versions) {
    for (const [name, { type }] of statistics.printed.families)
      types.set(name, (types.get(name) ?? new Set()).add(type))
  }
  return types
}

/**
 * Whether no version uses the name of a histogram, or the names of its series, for anything else.
 */
function isWholeHistogram(name: string, types: ReadonlyMap<string, Set<FamilyType>>): boolean {
  if ((types.get(name)?.size ?? 0) > 1) return false
  return HISTOGRAM_SUFFIXES.every((suffix) => {
    const isPartOf = name.endsWith(suffix) && types.get(name.slice(0, -suffix.length))
    return !types.has(name + suffix) && !(isPartOf && isPartOf.has('histogram'))
  })
}

function readFamily(name: string, { series }: PrintedFamily, version: Labels): Series[] {
  return [...series.values()].flatMap(({ labels, value, distribution }) => {
    const all = { ...version, ...labels, Hostname: HOST }
    return distribution === undefined
      ? seriesOf([all, value])
      : seriesOfHistogram(name, [all, distribution])
  })
}
