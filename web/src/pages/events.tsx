// SPDX-License-Identifier: GPL-2.0-or-later
// The history: who did what, and what happened by itself.
import { useEffect, useRef, useState } from 'preact/hooks'
import { get, type Event, type Schemas } from '../api'
import { t } from '../i18n'
import { errorText, events as recent } from '../store'
import { Icon } from '../ui/icon'
import { Button, PageHead, Select } from '../ui/parts'
import { EventLine } from './event-line'

const PAGE = 100
const GROUPS = ['', 'machine.', 'disk.', 'user.', 'permission.', 'server.', 'script.', 'webhook.', 'task.'] as const
type Group = (typeof GROUPS)[number]

export function EventHistory({ object }: { object?: string }) {
  const [search, setSearch] = useState('')
  const [severity, setSeverity] = useState<Schemas['Severity']>('info')
  const [kind, setKind] = useState<Group>('')
  const [since, setSince] = useState('')
  const [list, setList] = useState<Event[]>([])
  const [more, setMore] = useState(false)
  const [problem, setProblem] = useState('')
  const turn = useRef(0)
  const load = async (before?: number) => {
    const mine = ++turn.current
    try {
      const answer = await get<{ events: Event[] }>('/events', {
        search, before, object, limit: PAGE, kind: kind || undefined, severity: severity === 'info' ? undefined : severity,
        since: since ? new Date(since).toISOString() : undefined,
      })
      if (mine !== turn.current) return
      setProblem('')
      setList((old) => (before ? [...old, ...answer.events] : answer.events))
      setMore(answer.events.length === PAGE)
    } catch (error) {
      if (mine === turn.current) setProblem(errorText(error))
    }
  }
  useEffect(() => {
    const timer = setTimeout(() => void load(), search ? 250 : 0)
    return () => clearTimeout(timer)
  }, [search, severity, kind, since, object])
  // What comes in while one looks is put on top, as long as nothing narrows the list.
  useEffect(() => {
    if (search || since || kind || severity !== 'info') return
    const top = list[0]?.id ?? 0
    const fresh = recent.value.filter((event) => event.id > top && (!object || event.object.id === object))
    if (fresh.length && list.length) setList([...fresh, ...list])
  }, [recent.value])
  return (
    <>
      <div class="filters">
        <label class="search">
          <Icon name="search" />
          <input type="search" value={search} placeholder={t('events.search')} aria-label={t('events.search')} onInput={(event) => setSearch(event.currentTarget.value)} />
        </label>
        {!object && <Select label={t('events.kind')} value={kind} onChange={setKind} options={GROUPS.map((value) => ({ value, label: t(value ? `events.kind.${value.slice(0, -1) as 'machine'}` : 'events.kind.all') }))} />}
        <Select label={t('events.severity')} value={severity} onChange={setSeverity} options={(['info', 'warning', 'error'] as const).map((value) => ({ value, label: t(`events.severity.${value}`) }))} />
        <div class="field">
          <label for="events-since">{t('events.since')}</label>
          <input id="events-since" type="datetime-local" value={since} onInput={(event) => setSince(event.currentTarget.value)} />
        </div>
      </div>
      {problem && <p class="alert error">{problem}</p>}
      <section class="panel">
        <ul class="event-list">
          {list.map((event) => (
            <EventLine key={event.id} event={event} full />
          ))}
          {!list.length && <li class="muted none">{t(search ? 'events.no-match' : 'events.none')}</li>}
        </ul>
      </section>
      {more && (
        <div class="center">
          <Button label={t('events.older')} onClick={() => void load(list[list.length - 1]?.id)} />
        </div>
      )}
    </>
  )
}

export function EventsPage() {
  return (
    <>
      <PageHead title={t('nav.events')} />
      <EventHistory />
    </>
  )
}
