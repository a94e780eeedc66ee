/** The PromQL queries of `deploy`, and the metrics and labels that they use. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parse } from 'yaml'

export const DASHBOARD = path.join('deploy', 'grafana', 'onnxd.json')
export const ALERTS = path.join('deploy', 'prometheus', 'alerts.yaml')

const SELECTOR = /\b((?:onnxd|process)_\w+|up)\b(?:\{([^}]*)\})?/g
const MATCHER = /(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g

/** A query, and the panel or alert that has it. */
export interface Query {
  readonly name: string
  readonly expression: string
}

/** One selector of series in a query. */
export interface Selector {
  readonly metric: string
  readonly matchers: readonly { label: string; operator: string; value: string }[]
}

interface Panel {
  readonly title: string
  readonly targets?: readonly { expr: string }[]
}

/** Queries of the dashboard. Its variables get values that select everything. */
export function dashboardQueries(interval: string): Query[] {
  const { panels } = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as { panels: Panel[] }
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      name: title,
      expression: expr
        .replaceAll('$__rate_interval', interval)
        .replaceAll(/\$(?:instance|model)\b/g, '.*'),
    })),
  )
}

/** Queries of the alerts. */
export function alertQueries(): Query[] {
  const { groups } = parse(readFileSync(ALERTS, 'utf8')) as {
    groups: { rules: { alert: string; expr: string }[] }[]
  }
  return groups.flatMap(({ rules }) =>
    rules.map(({ alert, expr }) => ({ name: alert, expression: expr })),
  )
}

/** The series that a query selects. */
export function selectorsOf(expression: string): Selector[] {
  return [...expression.matchAll(SELECTOR)].map(([, metric = '', labels = '']) => ({
    metric,
    matchers: [...labels.matchAll(MATCHER)].map(([, label = '', operator = '', value = '']) => ({
      label,
      operator,
      value,
    })),
  }))
}

/** Labels that a query groups by. */
export function groupingOf(expression: string): string[] {
  const groups = expression.matchAll(/\bby\s*\(([^)]*)\)/g)
  return [...groups].flatMap(([, labels = '']) => labels.split(',').map((label) => label.trim()))
}
