/** The OpenAPI 3.1 description, made from the table of routes and the schemas that validate. */
import { z } from 'zod'
import { problem } from './model.js'
import { type Route, routes } from './routes.js'

type Json = Readonly<Record<string, unknown>>

export function describeApi(version: string): Json {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = describeRoute(route)
  return {
    openapi: '3.1.0',
    info: { title: 'Lagrange admin API', version, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: { Problem: toSchema(problem, 'output') },
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'Asked for when one is configured.' } },
    },
  }
}

function describeRoute(route: Route): Json {
  return {
    operationId: route.name,
    summary: route.summary,
    security: route.access === 'token' ? [{ token: [] }, {}] : [],
    ...(route.query && { parameters: parametersOf(route.query) }),
    ...(route.body && {
      requestBody: { required: true, content: { 'application/json': { schema: toSchema(route.body, 'input') } } },
    }),
    responses: responsesOf(route),
  }
}

function parametersOf(query: z.ZodType): readonly Json[] {
  const { properties = {} } = toSchema(query, 'input') as { properties?: Record<string, Json> }
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: false,
    description,
    schema,
  }))
}

function responsesOf(route: Route): Json {
  const content =
    typeof route.answer === 'string'
      ? { [route.answer]: { schema: route.answer === 'application/json' ? {} : { type: 'string' } } }
      : { 'application/json': { schema: toSchema(route.answer, 'output') } }
  const stream = route.name === 'events' ? { 'text/event-stream': { schema: { type: 'string' } } } : {}
  const refused = [...refusalsOf(route), ...(route.refusals ?? [])]
  return {
    200: { description: 'Done.', content: { ...content, ...stream } },
    ...Object.fromEntries(refused.map(status => [status, problemResponse])),
  }
}

function refusalsOf(route: Route): readonly number[] {
  return [
    400,
    403,
    421,
    ...(route.access === 'token' ? [401] : []),
    ...(route.method === 'POST' ? [413, 415, 429] : []),
  ]
}

const problemResponse = {
  description: 'Refused, with the reason.',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
}

function toSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  // Coerced query values accept anything, by zod's account; the type they become is what a reader wants to know.
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Record<string, unknown>
  return json
}
