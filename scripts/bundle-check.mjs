/**
 * Finds code in a bundle that works only in a file of its own, for example a module that looks for
 * files in its own folder. `bundle.mjs` uses it, and the build fails with the problems that it
 * returns.
 */
import { isBuiltin } from 'node:module'
import path from 'node:path'

/** The bundler replaces these names with the marker in modules that do not declare them. */
const MARKER = 'FREE_IN_A_BUNDLE'
const VARIABLES = ['__filename', '__dirname']

/** Settings of the bundler that `problemsOf` requires. */
export const markFreeVariables = {
  define: Object.fromEntries(VARIABLES.map((name) => [name, `${MARKER}.${name}`])),
}

/** The bundler's name for `require` of a module that is not in the bundle. */
const REQUIRE = /\b__require\b(?:\("([^"]+)"\))?/g

const META_RULE = [/\bimport\.meta\b/, 'import.meta']

/** Code by which libraries find files in their own folder. */
const LIBRARY_RULES = [
  META_RULE,
  [/\bcreateRequire\b/, 'createRequire'],
  [/\bnew (?:[\w$]+\.)*Worker[\d$]*\(/, 'new Worker'],
  [/\bimport\((?!\s*["'])/, 'a computed import'],
  [/\bprocess\.(?:mainModule|dlopen)\b/, 'process.mainModule or process.dlopen'],
  [/\bmodule\.(?:require|parent|filename|path|paths|children)\b/, 'the module object of CommonJS'],
  [/\beval\(/, 'eval'],
]

/**
 * Returns the problems in the files of the bundler, one line for each module and reason: `<file>
 * uses <what>`.
 * @param isOutside Whether a package stays in `node_modules`.
 * @param mayUseMeta Whether one of our sources may use `import.meta`.
 */
export function problemsOf(files, { root, isOutside, mayUseMeta }) {
  return files
    .flatMap((file) => (file.type === 'chunk' ? Object.entries(file.modules) : []))
    .flatMap(([module, { code }]) => {
      // The bundler's own modules are not files.
      if (code === null || !path.isAbsolute(module)) return []
      const name = nameOf(module, root)
      return usesOf(name, code, { isOutside, mayUseMeta }).map((what) => `${name} uses ${what}`)
    })
}

/** The path from the root, or from `node_modules`, wherever that folder is. */
function nameOf(module, root) {
  const name = path.relative(root, module).replaceAll(path.sep, '/')
  return name.slice(Math.max(0, name.indexOf('node_modules/')))
}

function usesOf(name, code, { isOutside, mayUseMeta }) {
  const isLibrary = name.startsWith('node_modules/')
  const rules = isLibrary ? LIBRARY_RULES : mayUseMeta(name) ? [] : [META_RULE]
  return [
    ...VARIABLES.filter((variable) => code.includes(`${MARKER}.${variable}`)),
    ...requiresOf(code, isOutside),
    ...rules.filter(([pattern]) => pattern.test(code)).map(([, what]) => what),
  ]
}

/** Uses of `require`, each once, except for modules of Node and packages that stay outside. */
function requiresOf(code, isOutside) {
  const found = [...code.matchAll(REQUIRE)]
    .map(([, target]) => target)
    .filter((target) => target === undefined || !(isBuiltin(target) || isOutside(target)))
    .map((target) => (target === undefined ? 'require as a value' : `require("${target}")`))
  return [...new Set(found)]
}
