import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { formatClock, formatTick } from '../../shared/format.ts'
import { isDark } from '../../shared/theme.ts'
import type { Point } from '../logic/track.ts'

/** A line of a chart. */
export interface Series {
  readonly label: string
  /** Number of its colour, 1 to 4. */
  readonly color: 1 | 2 | 3 | 4
  readonly valueOf: (point: Point) => number | undefined
  /** Whether the area below the line is filled. */
  readonly isFilled?: boolean
}

interface ChartProps {
  readonly title: string
  readonly series: readonly Series[]
  readonly points: readonly Point[]
  readonly format: (value: number | undefined) => string
  /** Unit of the values on the axis. */
  readonly unit?: string
}

const HEIGHT = 150
/** The time that a chart shows at least, also if less is known. */
const SPAN_SECONDS = 60
const Y_AXIS_WIDTH = 44
const X_AXIS_HEIGHT = 24

/** Lines over the last five minutes. The values are also texts, which follow the pointer. */
export function Chart({ title, series, points, format, unit = '' }: ChartProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const [index, setIndex] = useState<number>()
  const data = columnsOf(points, series)
  const latest = useRef(data)
  latest.current = data
  const dark = isDark.value

  useEffect(() => {
    const element = frame.current
    if (element === null) return
    const created = new uPlot(optionsOf(element, series, setIndex), latest.current, element)
    plot.current = created
    const observer = new ResizeObserver(() => {
      created.setSize({ width: element.clientWidth, height: HEIGHT })
    })
    observer.observe(element)
    return () => {
      observer.disconnect()
      created.destroy()
    }
  }, [dark])

  useEffect(() => {
    plot.current?.setData(data)
  }, [points])

  const point = (index === undefined ? undefined : points[index]) ?? points.at(-1)
  return (
    <section class="card chart">
      <div class="chart-head">
        <h2>
          {title}
          {unit !== '' && <span class="dim chart-unit">{unit}</span>}
        </h2>
        {index !== undefined && point !== undefined && (
          <span class="dim small">{formatClock(point.time)}</span>
        )}
      </div>
      <dl class="legend">
        {series.map(({ label, color, valueOf }) => (
          <div key={label}>
            <dt class={`series-${String(color)}`}>{label}</dt>
            <dd>{format(point === undefined ? undefined : valueOf(point))}</dd>
          </div>
        ))}
      </dl>
      <div ref={frame} class="chart-frame" aria-hidden="true" />
    </section>
  )
}

/** Times in seconds, then the values of each series; `null` is unknown. */
function columnsOf(points: readonly Point[], series: readonly Series[]): uPlot.AlignedData {
  return [
    points.map(({ time }) => time / 1000),
    ...series.map(({ valueOf }) => points.map((point) => valueOf(point) ?? null)),
  ]
}

function optionsOf(
  element: HTMLElement,
  series: readonly Series[],
  onMove: (index: number | undefined) => void,
): uPlot.Options {
  const text = colorOf(element, '--text-dim')
  const grid = { stroke: colorOf(element, '--border'), width: 1 }
  const font = `11px ${getComputedStyle(element).fontFamily}`
  const axis = { stroke: text, grid, ticks: { show: false }, font }
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [6, 26, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: {
        time: true,
        range: (_plot, least, most) => [Math.min(least, most - SPAN_SECONDS), most],
      },
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 4] },
    },
    axes: [
      {
        ...axis,
        size: X_AXIS_HEIGHT,
        space: 90,
        values: (_plot, times) => times.map((time) => formatClock(time * 1000)),
      },
      {
        ...axis,
        size: Y_AXIS_WIDTH,
        space: 30,
        values: (_plot, values) => values.map(formatTick),
      },
    ],
    series: [
      {},
      ...series.map(({ label, color, isFilled = false }) => {
        const stroke = colorOf(element, `--series-${String(color)}`)
        return {
          label,
          stroke,
          width: 1.5,
          points: { show: false },
          ...(isFilled && { fill: withAlpha(stroke) }),
        }
      }),
    ],
    hooks: {
      setCursor: [({ cursor }) => onMove(cursor.idx ?? undefined)],
    },
  }
}

/** The canvas needs a plain colour. The browser computes it for a property of an element. */
function colorOf(element: HTMLElement, variable: string): string {
  element.style.color = `var(${variable})`
  const { color } = getComputedStyle(element)
  element.style.color = ''
  return color
}

function withAlpha(color: string): string {
  return color.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)')
}
