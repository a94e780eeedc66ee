/** Cleans messages: the model knows words, and no mark-up, links, addresses or numbers. */

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  gt: '>',
  lt: '<',
  nbsp: ' ',
  quot: '"',
}

/** The words that a person wrote, without the text that was answered and without a signature. */
export function messageText(message: string): string {
  const [own = ''] = withoutTags(message).split(/^(?:-- |On .+ wrote:|-{3,}.*)$/m)
  return own
    .replaceAll(/^>.*$/gm, '')
    .replaceAll(/\bhttps?:\/\/\S+|\bwww\.\S+/gi, 'weblink')
    .replaceAll(/\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b/g, 'mailaddress')
    .replaceAll(/[#€$£]?\b\d+(?:[.,:-]\d+)*\b[€%]?/g, 'number')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

/** HTML becomes text: blocks begin a line, and escaped characters stand for themselves. */
function withoutTags(text: string): string {
  if (!/<\/?[a-z][^>]*>/i.test(text)) return text
  return text
    .replaceAll(/<(style|script)\b.*?<\/\1>/gis, '')
    .replaceAll(/^[ \t]+/gm, '')
    .replaceAll(/<(?:br|p|div|li|tr|h\d)\b[^>]*>/gi, '\n')
    .replaceAll(/<[^>]+>/g, '')
    .replaceAll(/&(\w+);/g, (whole, name: string) => ENTITIES[name] ?? whole)
}
