// SPDX-License-Identifier: GPL-2.0-or-later
import type { Event } from '../api'
import { dateTime, fileName, shortTime } from '../format'
import { language, t, tMaybe } from '../i18n'
import { machineHref } from '../route'
import { SeverityIcon } from '../ui/parts'

function objectName(event: Event): string {
  const { object } = event
  if (object.name) return object.name
  return object.type === 'disk' && object.id ? fileName(object.id) : (object.id ?? t('nav.server'))
}

/** The server's words in English; elsewhere those of the catalogue for its kind. */
export function eventText(event: Event): string {
  if (language.value === 'en') return event.message
  return tMaybe(`event.${event.kind}`, event.message, { object: objectName(event), actor: event.actor.name })
}

function actorText(event: Event): string {
  const { actor } = event
  if (actor.type === 'guest') return t('actor.guest')
  if (actor.type === 'system') return t('actor.system')
  return actor.name
}

export function EventLine({ event, full }: { event: Event; full?: boolean }) {
  const { object } = event
  return (
    <li class="event">
      <SeverityIcon severity={event.severity} />
      <div class="event-text">
        <span>{eventText(event)}</span>
        <span class="muted">
          {actorText(event)}
          {event.actor.address && full ? ` (${event.actor.address})` : ''}
          {event.cause && event.cause !== 'request' ? ` · ${t(`cause.${event.cause}`)}` : ''}
          {object.type === 'machine' && object.id && (
            <>
              {' · '}
              <a href={machineHref(object.id)}>{objectName(event)}</a>
            </>
          )}
        </span>
      </div>
      <time dateTime={event.time} title={dateTime(event.time)}>
        {full ? dateTime(event.time) : shortTime(event.time)}
      </time>
    </li>
  )
}
