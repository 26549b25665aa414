// SPDX-License-Identifier: GPL-2.0-or-later
// What can be done with a machine now, as buttons and a menu.
import { useState } from 'preact/hooks'
import { call, type Machine, type Task } from '../api'
import { t } from '../i18n'
import { go, machineHref } from '../route'
import { attempt, may, putMachine, putTask, serverMay, permissions, toast } from '../store'
import type { IconName } from '../ui/icon'
import { Button, Checkbox, Confirm, Dialog, Input, Menu, Select, type MenuItem } from '../ui/parts'

type Verb = 'start' | 'pause' | 'resume' | 'save' | 'restore' | 'discard' | 'reset' | 'turn-off' | 'shutdown'

const ICONS: Record<Verb, IconName> = {
  start: 'play', pause: 'pause', resume: 'play', save: 'save', restore: 'restore', discard: 'trash',
  reset: 'reset', 'turn-off': 'unplug', shutdown: 'power',
}

/** What each state allows, the likeliest first. */
const VERBS: Record<Machine['state'], Verb[]> = {
  off: ['start'],
  saved: ['start', 'discard'],
  running: ['shutdown', 'pause', 'save', 'reset', 'turn-off'],
  paused: ['resume', 'save', 'reset', 'turn-off'],
  starting: [], saving: [], restoring: [], stopping: ['turn-off'], deleting: [],
}

async function act(machine: Machine, verb: Verb, body?: unknown) {
  const task = await attempt(() => call<Task>(`/machines/${machine.id}/${verb}`, { method: 'POST', body }))
  if (task) putTask(task)
}

function TurnOff({ machine, onClose }: { machine: Machine; onClose: () => void }) {
  const undo = machine.definition.undo
  const [choice, setChoice] = useState<'keep' | 'commit' | 'discard'>(undo ?? 'keep')
  return (
    <Confirm
      title={t('turn-off.title', { name: machine.name })}
      text={t('turn-off.text')}
      action={t('action.turn-off')}
      danger
      onClose={onClose}
      onConfirm={() => act(machine, 'turn-off', undo ? { undo: choice } : undefined)}
    >
      {undo && (
        <Select
          label={t('machine.undo')}
          value={choice}
          onChange={setChoice}
          options={(['keep', 'commit', 'discard'] as const).map((value) => ({ value, label: t(`undo.${value}`) }))}
        />
      )}
    </Confirm>
  )
}

function Clone({ machine, onClose }: { machine: Machine; onClose: () => void }) {
  const [name, setName] = useState(t('clone.name', { name: machine.name }))
  const [disks, setDisks] = useState<'copy' | 'differencing' | 'none'>('copy')
  return (
    <Dialog title={t('clone.title', { name: machine.name })} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const task = await attempt(() => call<Task>(`/machines/${machine.id}/clone`, { method: 'POST', body: { name, disks } }))
          if (!task) return
          putTask(task)
          onClose()
        }}
      >
        <Input label={t('machine.name')} value={name} onInput={setName} required maxLength={100} autofocus />
        <Select
          label={t('clone.disks')}
          value={disks}
          onChange={setDisks}
          options={(['copy', 'differencing', 'none'] as const).map((value) => ({ value, label: t(`clone.disks.${value}`) }))}
        />
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('action.clone')} kind="primary" type="submit" />
        </footer>
      </form>
    </Dialog>
  )
}

function Rename({ machine, onClose }: { machine: Machine; onClose: () => void }) {
  const [name, setName] = useState(machine.name)
  return (
    <Dialog title={t('rename.title', { name: machine.name })} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const next = await attempt(() => call<Machine>(`/machines/${machine.id}/rename`, { method: 'POST', body: { name } }))
          if (!next) return
          putMachine(next)
          onClose()
        }}
      >
        <Input label={t('machine.name')} value={name} onInput={setName} required maxLength={100} autofocus />
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('action.rename')} kind="primary" type="submit" />
        </footer>
      </form>
    </Dialog>
  )
}

function Remove({ machine, onClose }: { machine: Machine; onClose: () => void }) {
  const [disks, setDisks] = useState(false)
  return (
    <Confirm
      title={t('delete.title', { name: machine.name })}
      text={t('delete.text')}
      action={t('action.delete')}
      danger
      onClose={onClose}
      onConfirm={async () => {
        const task = await attempt(() => call<Task>(`/machines/${machine.id}`, { method: 'DELETE', query: { disks } }))
        if (!task) return
        putTask(task)
        toast('ok', t('delete.begun', { name: machine.name }))
        go('#/machines')
      }}
    >
      <Checkbox label={t('delete.disks')} checked={disks} onChange={setDisks} />
    </Confirm>
  )
}

type Asking = 'turn-off' | 'reset' | 'discard' | 'delete' | 'clone' | 'rename'

export function MachineActions({ machine, compact }: { machine: Machine; compact?: boolean }) {
  const [asking, setAsking] = useState<Asking>()
  const close = () => setAsking(undefined)
  const control = may(machine, 'control')
  const verbs = control ? VERBS[machine.state] : []
  const off = machine.state === 'off' || machine.state === 'saved'
  const mayCreate = permissions.value?.['may-create'] || serverMay('modify')
  const run = (verb: Verb) => {
    if (verb === 'turn-off' || verb === 'reset' || verb === 'discard') setAsking(verb)
    else void act(machine, verb)
  }
  const label = (verb: Verb) => (verb === 'start' && machine.state === 'saved' ? t('action.restore') : t(`action.${verb}`))
  const shown = compact ? verbs.slice(0, 1) : verbs.slice(0, 3)
  const menu: MenuItem[] = verbs.slice(shown.length).map((verb) => ({
    label: label(verb),
    icon: ICONS[verb],
    danger: verb === 'turn-off' || verb === 'discard',
    onSelect: () => run(verb),
  }))
  if (compact && control && !off) {
    menu.push({ label: t('tab.screen'), icon: 'screen', onSelect: () => go(machineHref(machine.id, 'screen')) })
    menu.push({ label: t('tab.serial'), icon: 'terminal', onSelect: () => go(machineHref(machine.id, 'serial')) })
  }
  if (may(machine, 'modify')) {
    if (compact) menu.push({ label: t('tab.settings'), icon: 'settings', onSelect: () => go(machineHref(machine.id, 'settings')) })
    menu.push({ label: t('action.rename'), icon: 'edit', onSelect: () => setAsking('rename') })
  }
  if (mayCreate && machine.state === 'off') menu.push({ label: t('action.clone'), icon: 'copy', onSelect: () => setAsking('clone') })
  if (may(machine, 'remove') && off) menu.push({ label: t('action.delete'), icon: 'trash', danger: true, onSelect: () => setAsking('delete') })
  return (
    <div class="actions">
      {shown.map((verb, i) => (
        <Button
          icon={verb === 'start' && machine.state === 'saved' ? 'restore' : ICONS[verb]}
          label={label(verb)}
          kind={i === 0 && !compact ? 'primary' : 'plain'}
          iconOnly={compact}
          onClick={() => run(verb)}
        />
      ))}
      <Menu items={menu} label={t('action.more', { name: machine.name })} />
      {asking === 'turn-off' && <TurnOff machine={machine} onClose={close} />}
      {asking === 'clone' && <Clone machine={machine} onClose={close} />}
      {asking === 'rename' && <Rename machine={machine} onClose={close} />}
      {asking === 'delete' && <Remove machine={machine} onClose={close} />}
      {asking === 'reset' && (
        <Confirm title={t('reset.title', { name: machine.name })} text={t('reset.text')} action={t('action.reset')} danger onClose={close} onConfirm={() => act(machine, 'reset')} />
      )}
      {asking === 'discard' && (
        <Confirm title={t('discard.title', { name: machine.name })} text={t('discard.text')} action={t('action.discard')} danger onClose={close} onConfirm={() => act(machine, 'discard')} />
      )}
    </div>
  )
}
