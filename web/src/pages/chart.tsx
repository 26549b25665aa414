// SPDX-License-Identifier: GPL-2.0-or-later
// What a machine used in the last minutes, by uPlot.
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { bytes, percent, rate } from '../format'
import { language, t } from '../i18n'
import { activity, samples, type Sample } from '../store'
import { theme } from '../theme'

type Kind = 'cpu' | 'disk' | 'network'

/** Steps of an axis of bytes: 1, 2, 4 … KiB, MiB, GiB. */
const BYTE_STEPS = Array.from({ length: 24 }, (_, i) => 1024 * 2 ** i)

function data(list: Sample[], kind: Kind): uPlot.AlignedData {
  const times = list.map((sample) => sample.time)
  if (kind === 'cpu') return [times, list.map((sample) => sample.cpu)]
  return kind === 'disk'
    ? [times, list.map((sample) => sample.read), list.map((sample) => sample.write)]
    : [times, list.map((sample) => sample.received), list.map((sample) => sample.sent)]
}

export function Chart({ id, kind, cpus, label }: { id: string; kind: Kind; cpus: number; label: string }) {
  const root = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  useEffect(() => {
    const element = root.current
    if (!element) return
    // Colours are those of the page: read where the browser has worked them out.
    const probe = getComputedStyle(element)
    const ink = probe.color
    const line = probe.borderTopColor
    const first = probe.outlineColor
    const second = probe.borderBottomColor
    const show = kind === 'cpu' ? percent : rate
    const points = { show: false }
    const series: uPlot.Series[] = [{}]
    if (kind === 'cpu') series.push({ label: t('activity.cpu'), stroke: first, width: 2, points, fill: `color-mix(in srgb, ${first} 16%, transparent)` })
    else {
      series.push({ label: t('activity.in'), stroke: first, width: 2, points })
      series.push({ label: t('activity.out'), stroke: second, width: 2, points, dash: [5, 3] })
    }
    const axis: uPlot.Axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' }
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 170,
        legend: { show: kind !== 'cpu', live: false },
        cursor: { y: false },
        padding: [12, 34, 0, 0],
        scales: { y: { range: (_, __, max) => [0, kind === 'cpu' ? Math.max(100 * cpus, max) : Math.max(1048576, max * 1.1)] } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => new Intl.DateTimeFormat(language.value, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(tick * 1000)), space: 110 },
          { ...axis, size: 82, ...(kind !== 'cpu' ? { incrs: BYTE_STEPS } : {}), values: (_, ticks) => ticks.map((tick) => (kind === 'cpu' ? show(tick) : `${bytes(tick)}/s`)) },
        ],
        series,
      },
      data(samples.get(id) ?? [], kind),
      element,
    )
    plot.current = made
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 170 }))
    resize.observe(element)
    return () => {
      resize.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [id, kind, cpus, language.value, theme.value])
  useEffect(() => {
    plot.current?.setData(data(samples.get(id) ?? [], kind))
  }, [activity.value, id, kind])
  return (
    <figure class="chart">
      <figcaption>{label}</figcaption>
      <div ref={root} class="chart-area" role="img" aria-label={label} />
    </figure>
  )
}
