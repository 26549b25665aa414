// SPDX-License-Identifier: GPL-2.0-or-later
// Master status: every machine with its screen, state and activity, the host, and recent events.
import { useState } from 'preact/hooks'
import type { Machine } from '../api'
import { bytes, duration, percent, rate } from '../format'
import { t } from '../i18n'
import { machineHref } from '../route'
import { activity, clock, events, machineList, netRates, permissions, server, serverMay, tasks } from '../store'
import { Icon } from '../ui/icon'
import { Empty, LinkButton, Meter, PageHead, Spark, StateBadge, TaskLine } from '../ui/parts'
import { MachineActions } from './actions'
import { EventLine } from './event-line'
import { Thumb } from './thumb'

export function uptime(machine: Machine): string {
  void clock.value
  if (!machine.started || machine.state === 'off' || machine.state === 'saved') return '–'
  return duration((Date.now() - Date.parse(machine.started)) / 1000)
}

export function taskOf(machine: Machine) {
  for (const task of tasks.value.values())
    if (task.state === 'running' && task.object.type === 'machine' && task.object.id === machine.id) return task
  return undefined
}

export function reasonText(machine: Machine): string {
  const reason = machine.reason
  if (!reason) return ''
  if (reason.code === 'user' && reason.actor) return t('reason.by', { name: reason.actor.name })
  return t(`reason.${reason.code}`)
}

function Rates(props: { on: boolean; first: [string, number | undefined]; second: [string, number | undefined] }) {
  if (!props.on) return <b>–</b>
  return (
    <span class="rates">
      <span>{props.first[0]}</span>
      <b>{rate(props.first[1])}</b>
      <span>{props.second[0]}</span>
      <b>{rate(props.second[1])}</b>
    </span>
  )
}

function Row({ machine }: { machine: Machine }) {
  const net = netRates.value.get(machine.id)
  const now = activity.value.get(machine.id)
  const task = taskOf(machine)
  const on = machine.state !== 'off' && machine.state !== 'saved'
  const reason = reasonText(machine)
  return (
    <li class={`machine-row${on ? '' : ' idle'}`}>
      <a class="row-thumb" href={machineHref(machine.id, on ? 'screen' : undefined)} tabIndex={-1} aria-hidden="true">
        <Thumb machine={machine} width={160} />
      </a>
      <div class="row-name">
        <a href={machineHref(machine.id)}>{machine.name}</a>
        <span class="row-state">
          <StateBadge state={machine.state} />
          {machine['definition-problem'] && <span class="badge tone-bad" title={machine['definition-problem']}>{t('machine.definition-problem')}</span>}
          {machine['needs-restart'].length > 0 && <span class="mark">{t('machine.needs-restart')}</span>}
        </span>
        {task ? <TaskLine task={task} /> : reason && <span class="muted row-reason">{reason}</span>}
      </div>
      <div class="row-cpu">
        <span class="row-label">{t('activity.cpu')}</span>
        <b>{on ? percent(now?.['cpu-percent']) : '–'}</b>
        {on && !!now?.['cpu-history']?.length && <Spark values={now['cpu-history']} max={100 * (machine.definition.cpus ?? 1)} label={t('activity.cpu-history', { name: machine.name })} />}
      </div>
      <div class="row-figure">
        <span class="row-label">{t('activity.memory')}</span>
        <b>{bytes(machine['memory-bytes'])}</b>
        {on && now?.['memory-bytes'] !== undefined && <span class="muted">{t('activity.resident', { bytes: bytes(now['memory-bytes']) })}</span>}
      </div>
      <div class="row-figure row-disk">
        <span class="row-label">{t('activity.disk')}</span>
        <Rates on={on && !!now} first={[t('activity.in'), now?.['disk-read-rate']]} second={[t('activity.out'), now?.['disk-write-rate']]} />
      </div>
      <div class="row-figure row-network">
        <span class="row-label">{t('activity.network')}</span>
        <Rates on={!!net} first={[t('activity.in'), net?.received]} second={[t('activity.out'), net?.sent]} />
      </div>
      <div class="row-figure row-uptime">
        <span class="row-label">{t('activity.uptime')}</span>
        <b>{uptime(machine)}</b>
      </div>
      <MachineActions machine={machine} compact />
    </li>
  )
}

function Host() {
  const about = server.value
  if (!about) return null
  const { host } = about
  const memory = host['memory-bytes'] ?? 0
  const free = host['memory-available-bytes'] ?? 0
  return (
    <section class="panel host" aria-label={t('host.title')}>
      <Meter label={t('host.cpu')} value={host['cpu-percent'] ?? 0} max={100} text={t('host.cpu-of', { percent: percent(host['cpu-percent']), cpus: host.cpus ?? 0 })} />
      <Meter label={t('host.memory')} value={memory - free} max={memory} text={t('host.of', { used: bytes(memory - free), all: bytes(memory) })} />
      {about.folders?.slice(0, 2).map((folder) => {
        const all = folder['total-bytes'] ?? 0
        const used = all - (folder['free-bytes'] ?? 0)
        return <Meter label={folder.name || folder.path} value={used} max={all} second={used + (folder['reserved-bytes'] ?? 0)} text={t('host.free', { bytes: bytes(folder['free-bytes']) })} />
      })}
    </section>
  )
}

function Health() {
  const bad = server.value?.health?.filter((entry) => entry.severity !== 'info') ?? []
  return (
    <>
      {bad.map((entry) => (
        <p class={`alert ${entry.severity}`} role="status">
          <Icon name={entry.severity === 'error' ? 'error' : 'warning'} />
          {entry.message}
        </p>
      ))}
    </>
  )
}

export function MachinesPage() {
  const [filter, setFilter] = useState('')
  const all = machineList.value
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  const shown = all.filter((m) => words.every((word) => `${m.name} ${m.state} ${(m.definition.server?.tags ?? []).join(' ')} ${m.definition.server?.owner ?? ''}`.toLowerCase().includes(word)))
  const mayCreate = permissions.value?.['may-create'] || serverMay('modify')
  return (
    <>
      <PageHead title={t('nav.machines')}>
        {all.length > 5 && (
          <label class="search">
            <Icon name="search" />
            <input type="search" value={filter} placeholder={t('machines.filter')} aria-label={t('machines.filter')} onInput={(event) => setFilter(event.currentTarget.value)} />
          </label>
        )}
        {mayCreate && <LinkButton href="#/machines/new" icon="plus" label={t('action.create-machine')} kind="primary" />}
      </PageHead>
      <Health />
      <Host />
      {all.length === 0 ? (
        <Empty icon="machines" title={t('machines.none')} text={t(mayCreate ? 'machines.none-create' : 'machines.none-wait')}>
          {mayCreate && <LinkButton href="#/machines/new" icon="plus" label={t('action.create-machine')} kind="primary" />}
        </Empty>
      ) : (
        <ul class="machine-list" aria-label={t('nav.machines')}>
          {shown.map((machine) => (
            <Row key={machine.id} machine={machine} />
          ))}
          {!shown.length && <li class="muted none">{t('machines.no-match')}</li>}
        </ul>
      )}
      <section class="panel">
        <header class="panel-head">
          <h2>{t('events.recent')}</h2>
          <a href="#/events">{t('events.all')}</a>
        </header>
        <ul class="event-list">
          {events.value.slice(0, 8).map((event) => (
            <EventLine key={event.id} event={event} />
          ))}
          {!events.value.length && <li class="muted none">{t('events.none')}</li>}
        </ul>
      </section>
    </>
  )
}
