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
    ...(route.aliases && { description: `Also known as ${route.aliases.join(', ')}.` }),
    ...(needsToken(route) && { 'x-role': route.access }),
    security: needsToken(route) ? [{ token: [] }, {}] : [],
    parameters: parametersOf(route),
    ...(route.body && {
      requestBody: { required: true, content: { 'application/json': { schema: toSchema(route.body, 'input') } } },
    }),
    responses: responsesOf(route),
  }
}

function needsToken({ access }: Route): boolean {
  return access !== 'probe' && access !== 'page'
}

function parametersOf({ path, query, changes }: Route): readonly Json[] {
  const string = { type: 'string' }
  const { properties = {} } =
    query === undefined ? {} : (toSchema(query, 'input') as { properties?: Record<string, Json> })
  return [
    ...(path.includes('{id}') ? [{ name: 'id', in: 'path', required: true, schema: string }] : []),
    ...Object.entries(properties).map(([name, { description, ...schema }]) => ({
      name,
      in: 'query',
      required: false,
      description,
      schema,
    })),
    ...(changes ? changeHeaders.map(header => ({ ...header, in: 'header', required: false, schema: string })) : []),
  ]
}

const changeHeaders = [
  { name: 'Idempotency-Key', description: 'A change asked for twice under one key within a day happens once.' },
  { name: 'If-Match', description: 'The epoch as ETag of the topology: refused when the master has changed since.' },
]

function responsesOf(route: Route): Json {
  const content =
    typeof route.answer === 'string'
      ? { [route.answer]: { schema: route.answer === 'application/json' ? {} : { type: 'string' } } }
      : { 'application/json': { schema: toSchema(route.answer, 'output') } }
  const stream = route.streams === 'text/event-stream' ? { [route.streams]: { schema: { type: 'string' } } } : {}
  const refused = new Set([...refusalsOf(route), ...(route.refusals ?? [])])
  return {
    200: { description: 'Done.', content: { ...content, ...stream } },
    ...Object.fromEntries([...refused].map(status => [status, problemResponse])),
  }
}

function refusalsOf(route: Route): readonly number[] {
  return [
    400,
    403,
    421,
    ...(needsToken(route) ? [401] : []),
    ...(route.path.includes('{id}') ? [404] : []),
    ...(route.changes ? [412, 422, 429] : []),
    ...(route.method === 'POST' ? [413, 415] : []),
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
