import multipart from '@fastify/multipart'
import type { App } from '../route-context.ts'

/**
 * Lets routes read multipart forms, without the two hooks by which the plugin removes files that it has
 * saved: nothing here has it save any, and they cost each request, form or not, two promises and a listener.
 */
export async function acceptForms(app: App): Promise<void> {
  const addHook = app.addHook.bind(app)
  app.addHook = () => app
  await app.register(multipart)
  app.addHook = addHook
}
