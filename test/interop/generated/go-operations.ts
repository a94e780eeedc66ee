/** Go finds no function by its name at run time, so a table of them is written for the program. */
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Call } from './calls.ts'

const EXECUTES = /^func \(a \*(\w+)APIService\) (\w+)\(ctx context\.Context/gm

/** Text of a Go file with the function `operations[operationId]`. */
export function goOperations(folder: string, calls: readonly Call[]): string {
  const services = new Map<string, readonly [api: string, method: string]>()
  for (const file of readdirSync(folder).filter((name) => name.startsWith('api_'))) {
    const source = readFileSync(path.join(folder, file), 'utf8')
    for (const [, api = '', method = ''] of source.matchAll(EXECUTES)) {
      services.set(method.toLowerCase(), [api, method])
    }
  }
  const types = new Map<string, string>()
  for (const file of readdirSync(folder).filter((name) => name.startsWith('model_'))) {
    const source = readFileSync(path.join(folder, file), 'utf8')
    for (const [, type = ''] of source.matchAll(/^type (\w+) struct/gm))
      types.set(plain(type), type)
  }
  const entries = calls.map(({ operation, schema }) => {
    const [api, method] = services.get(plain(operation)) ?? ['', operation]
    const type = types.get(plain(schema)) ?? schema
    return `	"${operation}": func(ctx context.Context, api *client.APIClient, body []byte) (interface{}, error) {
		var request client.${type}
		if err := json.Unmarshal(body, &request); err != nil {
			return nil, err
		}
		result, _, err := api.${api}API.${method}(ctx).${type}(request).Execute()
		return result, err
	},`
  })
  return `package main

import (
	"context"
	"encoding/json"

	client "github.com/GIT_USER_ID/GIT_REPO_ID"
)

var operations = map[string]func(context.Context, *client.APIClient, []byte) (interface{}, error){
${entries.join('\n')}
}
`
}

function plain(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9]/g, '').toLowerCase()
}
