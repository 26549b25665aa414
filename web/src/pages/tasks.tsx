// SPDX-License-Identifier: GPL-2.0-or-later
import type { Task } from '../api'
import { dateTime, duration, shortTime } from '../format'
import { t } from '../i18n'
import { machineHref } from '../route'
import { clock, tasks } from '../store'
import { Button, cancelTask, Empty, PageHead, Progress, taskName } from '../ui/parts'

const TONE: Record<Task['state'], string> = { running: 'busy', done: 'good', failed: 'bad', cancelled: 'idle' }

function took(task: Task): string {
  void clock.value
  const end = task.ended ? Date.parse(task.ended) : Date.now()
  return duration((end - Date.parse(task.created)) / 1000)
}

export function TasksPage() {
  const all = [...tasks.value.values()].sort((a, b) => (a.created < b.created ? 1 : -1))
  return (
    <>
      <PageHead title={t('nav.tasks')} />
      {!all.length && <Empty icon="tasks" title={t('tasks.none')} text={t('tasks.none-text')} />}
      {all.length > 0 && (
        <div class="table-wrap panel">
          <table>
            <thead>
              <tr>
                <th scope="col">{t('tasks.what')}</th>
                <th scope="col">{t('tasks.object')}</th>
                <th scope="col">{t('tasks.state')}</th>
                <th scope="col">{t('tasks.who')}</th>
                <th scope="col">{t('tasks.when')}</th>
                <th scope="col" class="number">{t('tasks.took')}</th>
                <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
              </tr>
            </thead>
            <tbody>
              {all.map((task) => (
                <tr key={task.id}>
                  <th scope="row">{taskName(task)}</th>
                  <td data-label={t('tasks.object')}>
                    {task.object.type === 'machine' && task.object.id ? <a href={machineHref(task.object.id)}>{task.object.name ?? task.object.id}</a> : <span class="path">{task.object.name ?? task.object.id ?? ''}</span>}
                  </td>
                  <td data-label={t('tasks.state')}>
                    <span class={`badge tone-${TONE[task.state]}`}>{t(`task-state.${task.state}`)}</span>
                    {task.state === 'running' && <Progress value={task.percent} label={taskName(task)} />}
                    {task.problem && <p class="hint bad">{task.problem.detail ?? task.problem.title}</p>}
                  </td>
                  <td data-label={t('tasks.who')}>{task.actor.name}</td>
                  <td data-label={t('tasks.when')} title={dateTime(task.created)}>{shortTime(task.created)}</td>
                  <td data-label={t('tasks.took')} class="number">{took(task)}</td>
                  <td class="cell-actions">{task.state === 'running' && task.cancelable && <Button label={t('action.cancel')} onClick={() => void cancelTask(task)} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}
