// SPDX-License-Identifier: GPL-2.0-or-later
// What is known of the server, kept up to date by its stream of changes.
import { batch, computed, signal } from '@preact/signals'
import {
  ApiError, get, setCsrf, socketUrl, whenUnauthenticated,
  type Activity, type Event, type Machine, type MyPermissions, type Right, type Server, type Session,
  type StreamMessage, type Task,
} from './api'
import { t } from './i18n'

const EVENTS_KEPT = 100
const TASKS_KEPT = 200
export const HISTORY = 90 // samples of activity

export type Phase = 'loading' | 'login' | 'ready' | 'unreachable'
export const phase = signal<Phase>('loading')
export const session = signal<Session | null>(null)
export const permissions = signal<MyPermissions | null>(null)
export const server = signal<Server | null>(null)
export const machines = signal<Map<string, Machine>>(new Map())
export const activity = signal<Map<string, Activity>>(new Map())
export const tasks = signal<Map<string, Task>>(new Map())
export const events = signal<Event[]>([])
export const live = signal(false)
/** Counts up once a second: times that run on screen depend on it. */
export const clock = signal(0)

/** Samples for charts, by machine. */
export interface Sample {
  time: number
  cpu: number
  memory: number
  read: number
  write: number
  received: number
  sent: number
}

/** What of the network flows a second; the server counts bytes. */
export interface NetRates {
  received: number
  sent: number
}
export const netRates = signal<Map<string, NetRates>>(new Map())
export const samples = new Map<string, Sample[]>()

export const machineList = computed(() =>
  [...machines.value.values()].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })))
export const runningTasks = computed(() => [...tasks.value.values()].filter((task) => task.state === 'running'))

// Messages at the edge of the page.
export interface Toast {
  id: number
  kind: 'info' | 'error' | 'ok'
  text: string
}
export const toasts = signal<Toast[]>([])
let toastId = 0

export function toast(kind: Toast['kind'], text: string) {
  const id = ++toastId
  toasts.value = [...toasts.value.slice(-3), { id, kind, text }]
  setTimeout(() => dismissToast(id), kind === 'error' ? 12000 : 5000)
}

export function dismissToast(id: number) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id)
}

export function errorText(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.status === 412) return t('error.changed-meanwhile')
    return error.problem.field ? `${error.problem.field}: ${error.message}` : error.message
  }
  if (error instanceof TypeError) return t('error.unreachable')
  return error instanceof Error ? error.message : String(error)
}

/** Do something the user asked for; say so when it cannot be done. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    toast('error', errorText(error))
    return undefined
  }
}

export function may(machine: Machine, right: Right): boolean {
  return machine.rights.includes('full') || machine.rights.includes(right)
}

export function serverMay(right: Right): boolean {
  const rights = permissions.value?.server ?? []
  return !!permissions.value?.administrator || rights.includes('full') || rights.includes(right)
}

function ratesBetween(before: Activity | undefined, now: Activity): NetRates | undefined {
  const [read, write] = [now['network-read-bytes'], now['network-write-bytes']]
  const [readBefore, writeBefore] = [before?.['network-read-bytes'], before?.['network-write-bytes']]
  if (read === undefined || write === undefined) return undefined
  const seconds = before?.time && now.time ? (Date.parse(now.time) - Date.parse(before.time)) / 1000 : 0
  if (readBefore === undefined || writeBefore === undefined || seconds <= 0) return { received: 0, sent: 0 }
  return { received: Math.max(0, (read - readBefore) / seconds), sent: Math.max(0, (write - writeBefore) / seconds) }
}

function keepSample(id: string, now: Activity, rates: NetRates | undefined) {
  const list = samples.get(id) ?? []
  list.push({
    time: now.time ? Date.parse(now.time) / 1000 : Date.now() / 1000,
    cpu: now['cpu-percent'] ?? 0,
    memory: now['memory-bytes'] ?? 0,
    read: now['disk-read-rate'] ?? 0,
    write: now['disk-write-rate'] ?? 0,
    received: rates?.received ?? 0,
    sent: rates?.sent ?? 0,
  })
  if (list.length > HISTORY) list.splice(0, list.length - HISTORY)
  samples.set(id, list)
}

export function putMachine(machine: Machine) {
  const next = new Map(machines.value)
  next.set(machine.id, machine)
  machines.value = next
  const now = new Map(activity.value)
  if (machine.activity) now.set(machine.id, { ...now.get(machine.id), ...machine.activity })
  else if (machine.state === 'off' || machine.state === 'saved') now.delete(machine.id)
  activity.value = now
}

function dropMachine(id: string) {
  const next = new Map(machines.value)
  next.delete(id)
  machines.value = next
  samples.delete(id)
}

export function putTask(task: Task) {
  const before = tasks.value.get(task.id)
  const next = new Map(tasks.value)
  next.set(task.id, task)
  if (next.size > TASKS_KEPT)
    for (const [id, old] of next)
      if (old.state !== 'running' && next.size > TASKS_KEPT) next.delete(id)
  tasks.value = next
  // The stream tells of failures of what this user has begun.
  if (task.state === 'failed' && before?.state === 'running' && task.actor.name === session.value?.user)
    toast('error', task.problem?.detail ?? task.problem?.title ?? t('task.failed'))
}

function putActivity(all: Record<string, Activity>) {
  const next = new Map<string, Activity>()
  const net = new Map<string, NetRates>()
  for (const [id, now] of Object.entries(all)) {
    const before = activity.value.get(id)
    const history = [...(before?.['cpu-history'] ?? []), now['cpu-percent'] ?? 0].slice(-HISTORY)
    next.set(id, { ...before, ...now, 'cpu-history': history })
    const rates = ratesBetween(before, now)
    if (rates) net.set(id, rates)
    keepSample(id, now, rates)
  }
  activity.value = next
  netRates.value = net
}

function receive(message: StreamMessage) {
  batch(() => {
    if (message.event) events.value = [message.event, ...events.value].slice(0, EVENTS_KEPT)
    if (message.machine) putMachine(message.machine)
    if (message.deleted) dropMachine(message.deleted)
    if (message.task) putTask(message.task)
    if (message.activity) putActivity(message.activity)
  })
}

let socket: WebSocket | null = null
let retry: ReturnType<typeof setTimeout> | undefined
let retryDelay = 1000

function connect() {
  clearTimeout(retry)
  const last = events.value[0]?.id
  const next = new WebSocket(socketUrl('/events/stream', { after: last }), 'yado-events')
  socket = next
  next.onopen = () => {
    live.value = true
    retryDelay = 1000
  }
  next.onmessage = (message: MessageEvent<string>) => receive(JSON.parse(message.data) as StreamMessage)
  next.onclose = () => {
    if (socket !== next) return
    live.value = false
    retry = setTimeout(() => void resume(), retryDelay)
    retryDelay = Math.min(retryDelay * 2, 30000)
  }
}

/** After a break: what was missed is read again. */
async function resume() {
  try {
    await load()
    connect()
  } catch {
    if (phase.value === 'ready') retry = setTimeout(() => void resume(), retryDelay)
  }
}

async function load() {
  const [mine, all, running, recent, about] = await Promise.all([
    get<MyPermissions>('/me/permissions'),
    get<{ machines: Machine[] }>('/machines'),
    get<{ tasks: Task[] }>('/tasks'),
    get<{ events: Event[] }>('/events', { limit: 50 }),
    get<Server>('/server'),
  ])
  batch(() => {
    permissions.value = mine
    server.value = about
    events.value = recent.events
    tasks.value = new Map(running.tasks.map((task) => [task.id, task]))
    machines.value = new Map(all.machines.map((machine) => [machine.id, machine]))
    activity.value = new Map(all.machines.flatMap((m) => (m.activity ? [[m.id, m.activity] as const] : [])))
  })
}

export async function refreshServer() {
  server.value = await get<Server>('/server')
}

export async function enter(known: Session) {
  session.value = known
  setCsrf(known.csrf)
  await load()
  phase.value = 'ready'
  connect()
}

export function leave() {
  const old = socket
  socket = null
  old?.close()
  clearTimeout(retry)
  batch(() => {
    phase.value = 'login'
    session.value = permissions.value = null
    machines.value = new Map()
    events.value = []
    tasks.value = new Map()
  })
}

async function arrive() {
  try {
    await enter(await get<Session>('/session'))
  } catch (error) {
    phase.value = error instanceof ApiError && error.status === 401 ? 'login' : 'unreachable'
    if (phase.value === 'unreachable') setTimeout(() => void arrive(), 3000)
  }
}

export function begin() {
  whenUnauthenticated(leave)
  setInterval(() => clock.value++, 1000)
  void arrive()
}
