// SPDX-License-Identifier: GPL-2.0-or-later
// Calls to the server's API. Types come from api/openapi.yaml.
import type { components } from '../gen/api'

export type Schemas = components['schemas']
export type Machine = Schemas['Machine']
export type MachineState = Schemas['MachineState']
export type Definition = Schemas['Definition']
export type Activity = Schemas['Activity']
export type Task = Schemas['Task']
export type Event = Schemas['Event']
export type Disk = Schemas['Disk']
export type DiskInfo = Schemas['DiskInfo']
export type Folder = Schemas['Folder']
export type Resources = Schemas['Resources']
export type MachineResources = Schemas['MachineResources']
export type Permission = Schemas['Permission']
export type Right = Schemas['Right']
export type User = Schemas['User']
export type Token = Schemas['Token']
export type Session = Schemas['Session']
export type MyPermissions = Schemas['MyPermissions']
export type Server = Schemas['Server']
export type Settings = Schemas['Settings']
export type Problem = Schemas['Problem']
export type StreamMessage = Schemas['StreamMessage']
export type Quota = Schemas['Quota']
export type Network = Schemas['Network']
export type NetworkDefinition = Schemas['NetworkDefinition']
export type NetworkPort = Schemas['NetworkPort']
export type NetworkUplink = Schemas['NetworkUplink']
export type NetworkPortStatus = Schemas['NetworkPortStatus']
export type Adapter = Schemas['Adapter']

export const BASE = '/api/v1'

/** An answer that is no success. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly problem: Partial<Problem>) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`)
  }
}

let csrf = ''
export function setCsrf(value: string | undefined) {
  csrf = value ?? ''
}

/** Called when the server no longer knows us. */
let onUnauthenticated = () => {}
export function whenUnauthenticated(handler: () => void) {
  onUnauthenticated = handler
}

export interface Options {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  query?: Record<string, string | number | boolean | undefined | null>
  body?: unknown
  etag?: string
  merge?: boolean
  signal?: AbortSignal
}

function url(path: string, query: Options['query']): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== '') params.set(name, String(value))
  const text = params.toString()
  return BASE + path + (text ? `?${text}` : '')
}

async function problemOf(response: Response): Promise<ApiError> {
  let problem: Partial<Problem> = { title: response.statusText, status: response.status }
  try {
    problem = (await response.json()) as Partial<Problem>
  } catch {
    // Not JSON: the status says what there is to say.
  }
  return new ApiError(response.status, problem)
}

export async function call<T>(path: string, options: Options = {}): Promise<T> {
  const method = options.method ?? 'GET'
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (options.body !== undefined)
    headers['Content-Type'] = options.merge ? 'application/merge-patch+json' : 'application/json'
  if (method !== 'GET' && csrf) headers['X-Yado-CSRF'] = csrf
  // A machine's own is without the quotes that the header has (RFC 9110, 8.8.3).
  if (options.etag) headers['If-Match'] = /^[*"]/.test(options.etag) ? options.etag : `"${options.etag}"`
  const response = await fetch(url(path, options.query), {
    method,
    headers,
    credentials: 'same-origin',
    body: options.body === undefined ? undefined : JSON.stringify(options.body),
    signal: options.signal,
  })
  if (response.status === 401 && path !== '/session') onUnauthenticated()
  if (!response.ok) throw await problemOf(response)
  return (response.status === 204 ? undefined : await response.json()) as T
}

export const get = <T>(path: string, query?: Options['query']) => call<T>(path, { query })
export const post = <T>(path: string, body?: unknown) => call<T>(path, { method: 'POST', body })

/** The address of a WebSocket of the API. */
export function socketUrl(path: string, query?: Options['query']): string {
  const address = new URL(url(path, query), location.href)
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
  return address.href
}

/** A picture as a data URL, which lives as long as it is shown; the browser asks with If-None-Match by itself. */
export async function picture(path: string, query?: Options['query'], signal?: AbortSignal): Promise<string> {
  const response = await fetch(url(path, query), { credentials: 'same-origin', cache: 'no-cache', signal })
  if (!response.ok) throw await problemOf(response)
  const blob = await response.blob()
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(reader.result as string)
    reader.onerror = () => reject(reader.error)
    reader.readAsDataURL(blob)
  })
}
