// SPDX-License-Identifier: GPL-2.0-or-later
// One machine: what it is and does, its screen, its serial line, its settings, its history.
import { lazy, Suspense } from 'preact/compat'
import { useState } from 'preact/hooks'
import { call, type Machine } from '../api'
import { bytes, dateTime, fileName, percent, rate } from '../format'
import { t } from '../i18n'
import { machineHref, route } from '../route'
import { activity, attempt, machines, may, netRates, putMachine } from '../store'
import { Icon } from '../ui/icon'
import { Button, PageHead, StateBadge, TaskLine } from '../ui/parts'
import { FileDialog } from '../ui/picker'
import { MachineActions } from './actions'
import { AdapterList } from './adapters'
import { EventHistory } from './events'
import { reasonText, taskOf, uptime } from './machines'
import { SettingsForm } from './settings'
import { Thumb } from './thumb'
import { ObjectPermissions } from './users'

// Only who opens a console or a chart pays for it.
const Screen = lazy(() => import('./screen').then((m) => m.Screen))
const Serial = lazy(() => import('./serial').then((m) => m.Serial))
const Chart = lazy(() => import('./chart').then((m) => m.Chart))

type Tab = 'overview' | 'screen' | 'serial' | 'settings' | 'events' | 'permissions'

function Drive({ machine, drive }: { machine: Machine; drive: 'cdrom' | 'floppy' }) {
  const [open, setOpen] = useState(false)
  const on = machine.state !== 'off' && machine.state !== 'saved'
  const file = on ? machine.media?.[drive] : machine.definition[drive]
  const put = async (work: () => Promise<Machine>) => {
    const next = await attempt(work)
    if (next) putMachine(next)
  }
  return (
    <div class="drive">
      <Icon name={drive === 'cdrom' ? 'disc' : 'save'} />
      <span class="drive-name">
        {t(`drive.${drive}`)}
        <b title={file}>{file ? fileName(file) : t('drive.empty')}</b>
      </span>
      {may(machine, 'control') && (
        <>
          {file && <Button icon="up" label={t('drive.eject')} iconOnly kind="quiet" onClick={() => void put(() => call(`/machines/${machine.id}/media/${drive}`, { method: 'DELETE' }))} />}
          <Button icon="folder" label={t('drive.insert')} iconOnly kind="quiet" onClick={() => setOpen(true)} />
        </>
      )}
      {open && (
        <FileDialog
          title={t(`drive.${drive}`)}
          kind={drive}
          onClose={() => setOpen(false)}
          onPick={(path) => {
            setOpen(false)
            void put(() => call(`/machines/${machine.id}/media/${drive}`, { method: 'PUT', body: { file: path } }))
          }}
        />
      )}
    </div>
  )
}

function Fact({ label, children }: { label: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Overview({ machine }: { machine: Machine }) {
  const now = activity.value.get(machine.id)
  const net = netRates.value.get(machine.id)
  const on = machine.state !== 'off' && machine.state !== 'saved'
  const { definition } = machine
  const cpus = definition.cpus ?? 1
  const notes = definition.server?.notes
  return (
    <div class="overview">
      <section class="panel overview-screen">
        <a href={machineHref(machine.id, 'screen')} aria-label={t('machine.open-screen')}>
          <Thumb machine={machine} width={640} />
        </a>
        <Drive machine={machine} drive="cdrom" />
        <Drive machine={machine} drive="floppy" />
      </section>
      <section class="panel">
        <dl class="facts">
          <Fact label={t('activity.uptime')}>{uptime(machine)}</Fact>
          <Fact label={t('activity.cpu')}>{on ? percent(now?.['cpu-percent']) : '–'}</Fact>
          <Fact label={t('activity.memory')}>
            {bytes(machine['memory-bytes'])}
            {on && now?.['memory-bytes'] !== undefined && <small>{t('activity.resident', { bytes: bytes(now['memory-bytes']) })}</small>}
          </Fact>
          <Fact label={t('activity.disk')}>
            {on ? rate(now?.['disk-read-rate']) : '–'}
            {on && <small>{t('activity.written', { rate: rate(now?.['disk-write-rate']) })}</small>}
          </Fact>
          <Fact label={t('activity.network')}>
            {net ? rate(net.received) : '–'}
            {net && <small>{t('activity.sent', { rate: rate(net.sent) })}</small>}
          </Fact>
          <Fact label={t('machine.cpus')}>{cpus}</Fact>
          <Fact label={t('machine.engine')}>{machine.engine ?? definition.engine ?? 'auto'}</Fact>
          <Fact label={t('machine.firmware')}>{definition.kernel ? t('machine.direct-kernel') : (definition.firmware ?? 'bios').toUpperCase().slice(0, 40)}</Fact>
          <Fact label={t('machine.owner')}>{definition.server?.owner ?? '–'}</Fact>
          {machine.saved && (
            <Fact label={t('machine.saved')}>
              {dateTime(machine.saved.time)}
              <small>{bytes(machine.saved.bytes)}</small>
            </Fact>
          )}
          <Fact label={t('machine.protection')}>{on ? t(machine.jailed ? 'machine.jailed' : 'machine.not-jailed') : '–'}</Fact>
        </dl>
        {(definition.disk?.length ?? 0) > 0 && (
          <>
            <h2>{t('nav.disks')}</h2>
            <ul class="plain-list">
              {definition.disk?.map((disk) => (
                <li>
                  <Icon name="disks" />
                  <span class="path" title={disk.file}>{fileName(disk.file)}</span>
                  <span class="muted">{disk.bus ?? 'ide'}{disk.readonly ? ` · ${t('machine.readonly')}` : ''}</span>
                </li>
              ))}
            </ul>
          </>
        )}
        <AdapterList machine={machine} />
        {notes && (
          <>
            <h2>{t('machine.notes')}</h2>
            <p class="notes">{notes}</p>
          </>
        )}
      </section>
      {on && (
        <section class="panel charts">
          <Suspense fallback={<p class="muted">{t('state.loading')}</p>}>
            <Chart id={machine.id} kind="cpu" cpus={cpus} label={t('activity.cpu')} />
            <Chart id={machine.id} kind="disk" cpus={cpus} label={t('activity.disk')} />
            {net && <Chart id={machine.id} kind="network" cpus={cpus} label={t('activity.network')} />}
          </Suspense>
        </section>
      )}
    </div>
  )
}

export function MachinePage({ id }: { id: string }) {
  const machine = machines.value.get(id)
  if (!machine)
    return (
      <>
        <PageHead title={t('machine.gone')} back={{ href: '#/machines', label: t('nav.machines') }} />
        <p>{t('machine.gone-text')}</p>
      </>
    )
  const control = may(machine, 'control')
  const tabs: Tab[] = ['overview', ...(control ? (['screen', 'serial'] as const) : []), 'settings', 'events', ...(may(machine, 'permissions') ? (['permissions'] as const) : [])]
  const wanted = route.value[2] as Tab | undefined
  const tab = wanted && tabs.includes(wanted) ? wanted : 'overview'
  const task = taskOf(machine)
  const reason = reasonText(machine)
  return (
    <>
      <PageHead title={machine.name} back={{ href: '#/machines', label: t('nav.machines') }}>
        <MachineActions machine={machine} />
      </PageHead>
      <div class="machine-state">
        <StateBadge state={machine.state} />
        {reason && <span class="muted">{machine.reason?.message ?? reason}</span>}
        {task && <TaskLine task={task} />}
      </div>
      {machine['definition-problem'] && <p class="alert error"><Icon name="error" />{machine['definition-problem']}</p>}
      {machine['needs-restart'].length > 0 && (
        <p class="alert warning">
          <Icon name="warning" />
          {t('machine.needs-restart-text', { what: machine['needs-restart'].map((pointer) => pointer.replace(/^\//, '')).join(', ') })}
        </p>
      )}
      <nav class="tabs" aria-label={t('machine.tabs')}>
        {tabs.map((name) => (
          <a href={machineHref(id, name === 'overview' ? undefined : name)} aria-current={tab === name ? 'page' : undefined}>
            {t(`tab.${name}`)}
          </a>
        ))}
      </nav>
      {tab === 'overview' && <Overview machine={machine} />}
      {(tab === 'screen' || tab === 'serial') && (
        <Suspense fallback={<p class="muted">{t('state.loading')}</p>}>{tab === 'screen' ? <Screen machine={machine} /> : <Serial machine={machine} />}</Suspense>
      )}
      {tab === 'settings' && <SettingsForm key={machine.id} machine={machine} />}
      {tab === 'events' && <EventHistory object={machine.id} />}
      {tab === 'permissions' && <ObjectPermissions type="machine" object={machine.id} />}
    </>
  )
}
