import type { JSX } from 'preact'
import type { Span } from '../result/result-view.ts'
import { textParts } from '../result/spans.ts'
import { colorOf } from './colors.ts'
import { shortNumber } from './numbers.ts'

/** A text with the found spans highlighted, and a list of the spans. */
export function SpanText({ text, spans }: { text: string; spans: readonly Span[] }): JSX.Element {
  const labels = [...new Set(spans.map(({ label }) => label))]
  const characters = Array.from(text)
  return (
    <figure class="spans">
      <p class="span-text">
        {textParts(text, spans).map(({ text: part, span }, index) =>
          span === undefined ? (
            <span key={index}>{part}</span>
          ) : (
            <mark key={index} style={{ '--mark': colorOf(labels.indexOf(span.label)) }}>
              {part}
              <small>{span.label}</small>
            </mark>
          ),
        )}
      </p>
      {spans.length === 0 ? (
        <p class="dim">The model found nothing in this text.</p>
      ) : (
        <table class="table">
          <caption class="only-read">What the model found</caption>
          <thead>
            <tr>
              <th scope="col">Text</th>
              <th scope="col">Label</th>
              <th scope="col" class="number">
                Score
              </th>
            </tr>
          </thead>
          <tbody>
            {spans.map((span, index) => (
              <tr key={index}>
                <th scope="row" class="breakable">
                  {characters.slice(span.start, span.end).join('')}
                </th>
                <td>{span.label}</td>
                <td class="number">{shortNumber(span.score)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </figure>
  )
}
