// SPDX-License-Identifier: GPL-2.0-or-later
// The website as people use it, in Debian's Chromium, against a yadod that runs already:
//
//     node tests/web/drive.mjs URL FOLDER
//
// URL is where yadod serves the page. Screenshots go to FOLDER. Who logs in and what is booted:
//     YADO_USER, YADO_PASSWORD      an administrator
//     YADO_USER2, YADO_PASSWORD2    somebody who may see nothing yet (else that part is left out)
//     YADO_ISO                      an ISO image in an allowed folder, that shows something
//
// A machine is made, booted, typed to, saved, restored, turned off and deleted; every page is looked
// at on a desk and on a telephone, light and dark, in both languages, and held against axe's rules.
// An error on the browser's console, a blocked style or script, or a page wider than the screen is a
// failure. Ends with "N passed, N failed"; status 1 if anything failed.
import fs from 'node:fs'
import path from 'node:path'
import { createRequire } from 'node:module'

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..')
const need = createRequire(path.join(root, 'build/web-work/node_modules/_'))
const { chromium } = need('playwright-core')
const axeSource = fs.readFileSync(need.resolve('axe-core/axe.min.js'), 'utf8')

const [url, folder] = process.argv.slice(2)
const env = process.env
if (!url || !folder || !env.YADO_USER || !env.YADO_PASSWORD || !env.YADO_ISO) {
  console.error('usage: YADO_USER=… YADO_PASSWORD=… YADO_ISO=… node tests/web/drive.mjs URL FOLDER')
  process.exit(2)
}
fs.mkdirSync(folder, { recursive: true })
const PATIENCE = Number(env.YADO_PATIENCE_MS ?? 60000)
const counts = { passed: 0, failed: 0 }

function note(ok, name, detail = '') {
  counts[ok ? 'passed' : 'failed']++
  console.log(`${ok ? 'passed  ' : 'failed  '} ${name}${ok || !detail ? '' : `\n    ${detail}`}`)
}

async function step(name, work) {
  try {
    await work()
    note(true, name)
  } catch (error) {
    note(false, name, String(error.message).split('\n').slice(0, 6).join('\n    '))
  }
}

function check(ok, text) {
  if (!ok) throw new Error(text)
}

/** A page that remembers what went wrong in it. */
async function open(browser, options) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  page.problems = []
  page.on('console', (message) => {
    // The answers that a test provokes are the test's business.
    if (message.type() === 'error' && !/status of (401|403|404|409|412)/.test(message.text())) page.problems.push(message.text())
  })
  page.on('pageerror', (error) => page.problems.push(error.message))
  return page
}

async function logIn(page, user, password) {
  await page.goto(url)
  await page.locator('input[autocomplete=username]').fill(user)
  await page.locator('input[type=password]').fill(password)
  await page.locator('button[type=submit]').click()
}

/** What was asked for has come, and has been drawn. */
async function settled(page) {
  await page.waitForFunction(() => ![...document.querySelectorAll('main .muted')].some((e) => /^(Loading|読み込み中)/.test(e.textContent)))
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 300))))
}

/** What xterm.js shows. */
async function terminalShows(page, text) {
  await page.waitForFunction((wanted) => document.querySelector('.terminal .xterm-rows')?.innerText.replaceAll('\u00a0', ' ').includes(wanted), text)
}

/** No rule of axe is broken, nothing sticks out, nothing was complained of. */
async function inspect(page, name) {
  await page.screenshot({ path: path.join(folder, `${name}.png`) })
  await page.evaluate(axeSource)
  const broken = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ['violations'] })
    return result.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(', ')}`)
  })
  check(!broken.length, `axe: ${broken.join('; ')}`)
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  const widest = await page.evaluate(() => [...document.querySelectorAll('main *')]
    .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .slice(-3).map((e) => `${e.tagName.toLowerCase()}.${e.className} "${e.textContent.slice(0, 40)}"`).join(', '))
  check(over <= 0, `the page is ${over} pixels wider than the screen: ${widest}`)
  check(!page.problems.length, `the browser complains: ${page.problems.splice(0).join('; ')}`)
}

const state = (page) => page.locator('.machine-state .badge').first()
const action = (page, name) => page.locator('.page-head').getByRole('button', { name, exact: true })

async function viaMenu(page, name) {
  await page.locator('.page-head .menu > button').click()
  await page.getByRole('menuitem', { name, exact: true }).click()
}

const browser = await chromium.launch({ executablePath: env.YADO_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
const desk = { viewport: { width: 1360, height: 860 } }
const telephone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }
const machine = `web test ${process.pid}`
let machineUrl = ''

const page = await open(browser, { ...desk, colorScheme: 'light' })
await step('a wrong password is refused in words', async () => {
  await logIn(page, env.YADO_USER, `${env.YADO_PASSWORD}x`)
  await page.getByRole('alert').waitFor()
  await inspect(page, 'login')
})
await step('the right one leads to the machines', async () => {
  await logIn(page, env.YADO_USER, env.YADO_PASSWORD)
  await page.getByRole('heading', { name: 'Machines', level: 1 }).waitFor()
})
await step('a name and an ISO image make a machine, and it starts', async () => {
  await page.getByRole('link', { name: 'Create machine' }).first().click()
  await page.getByLabel('Name', { exact: true }).fill(machine)
  await page.getByRole('textbox', { name: 'ISO image' }).fill(env.YADO_ISO)
  await page.getByLabel('Size').fill('1')
  await page.getByLabel('Memory').fill('256')
  await page.getByLabel('Processors').fill('1')
  await inspect(page, 'create-filled')
  await page.getByRole('button', { name: 'Create machine' }).click()
  await page.getByRole('heading', { name: machine, level: 1 }).waitFor()
  machineUrl = page.url().replace(/\/screen$/, '')
})
await step('its screen is in the page, and takes keys', async () => {
  await page.goto(`${machineUrl}/screen`)
  await page.locator('.console-state', { hasText: 'Connected' }).waitFor()
  const canvas = page.locator('.screen canvas')
  await canvas.click()
  await page.keyboard.press('ArrowDown')
  const colours = async () => canvas.evaluate((element) => {
    const { data } = element.getContext('2d').getImageData(0, 0, element.width, element.height)
    const seen = new Set()
    for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2])
    return seen.size
  })
  await page.waitForFunction(() => document.querySelector('.screen canvas')?.width > 100)
  const end = Date.now() + PATIENCE
  while ((await colours()) < 2 && Date.now() < end) await page.waitForTimeout(500)
  check((await colours()) >= 2, 'the screen stays empty')
  await page.waitForTimeout(1500) // the picture: boot messages are over
  await inspect(page, 'screen')
  // GRUB says the same on both of its consoles.
  await page.keyboard.type('c', { delay: 100 })
  await page.waitForTimeout(500)
  await page.keyboard.type('echo typed-on-the-screen', { delay: 50 })
  await page.keyboard.press('Enter')
})
await step('its serial line is in the page, with what was written before, and takes keys', async () => {
  await page.goto(`${machineUrl}/serial`)
  await page.locator('.console-state', { hasText: 'Connected' }).waitFor()
  await terminalShows(page, 'typed-on-the-screen')
  await page.locator('.console > .terminal').click()
  await page.keyboard.type('echo typed-on-the-line', { delay: 50 })
  await page.keyboard.press('Enter')
  await terminalShows(page, '\ntyped-on-the-line')
  await inspect(page, 'serial')
})
await step('a change that needs a restart is marked until then', async () => {
  await page.goto(`${machineUrl}/settings`)
  await page.getByLabel('Memory').fill('300')
  await page.getByLabel('Notes').fill('written by a test')
  await page.getByRole('button', { name: 'Save changes' }).click()
  await page.locator('.mark', { hasText: 'waits for a restart' }).first().waitFor()
  await inspect(page, 'settings')
})
await step('saved', async () => {
  await page.goto(machineUrl)
  await action(page, 'Save state').click()
  await state(page).filter({ hasText: 'Saved' }).waitFor()
})
await step('restored', async () => {
  await action(page, 'Restore').click()
  await state(page).filter({ hasText: 'Running' }).waitFor()
  await page.locator('.alert', { hasText: 'used after a restart' }).waitFor()
  await page.goto(`${machineUrl}/serial`)
  await page.locator('.console-state', { hasText: 'Connected' }).waitFor()
  await page.locator('.console > .terminal').click()
  await page.keyboard.type('echo goes-on', { delay: 50 })
  await page.keyboard.press('Enter')
  await terminalShows(page, '\ngoes-on')
  await page.goto(machineUrl)
  await settled(page)
  await inspect(page, 'machine')
})

await step('a network is made, and the running machine is led to it', async () => {
  await page.goto(new URL('#/networks', url).href)
  await page.getByRole('button', { name: 'Create network' }).click()
  const dialog = page.getByRole('dialog')
  // Each kind has its own questions; what one was asked is not sent for another.
  await dialog.getByLabel('Kind').selectOption('external')
  await dialog.getByLabel('Connected through').selectOption('macvtap')
  await dialog.getByText("The adapter is this network's alone.").waitFor()
  await dialog.getByLabel('Kind').selectOption('nat')
  await dialog.getByLabel('Translation by').selectOption('kernel')
  await dialog.getByLabel('Interface that leads out').fill('eth0')
  await dialog.getByLabel('Translation by').selectOption('user')
  await dialog.getByLabel('Name', { exact: true }).fill('web-lab')
  await dialog.getByRole('button', { name: 'Create network' }).click()
  await dialog.waitFor({ state: 'detached' })
  await page.locator('.net-cards .badge', { hasText: 'Running' }).waitFor()
  await page.goto(`${machineUrl}/settings`)
  await page.getByLabel('Adapter 1', { exact: true }).selectOption('network:web-lab')
  await page.getByRole('button', { name: 'Save changes' }).click()
  await page.goto(new URL('#/networks/web-lab', url).href)
  await page.getByText('Way out: translation by Yado itself.').waitFor()
  await page.locator('.net-box.guest:not(.away)', { hasText: machine.slice(0, 8) }).waitFor()
  await page.locator('tr', { hasText: '52:54:00' }).locator('.menu > button').click()
  await page.getByRole('menuitem', { name: 'Last hour' }).click()
  await page.getByRole('dialog').getByRole('img', { name: 'Received' }).waitFor()
  await page.getByRole('dialog').getByText('frames dropped').waitFor()
  await inspect(page, 'network-port')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Capture', exact: true }).click()
  await page.getByRole('button', { name: 'Stop capturing' }).click()
  const [capture] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download capture' }).click()])
  check(fs.readFileSync(await capture.path()).readUInt32LE(0) === 0x0a0d0d0a, 'the capture is no pcapng')
  await inspect(page, 'network')
})

await step('the running machine is led to another network, and the drawings follow', async () => {
  const card = (name) => page.locator('.net-cards .panel').filter({ has: page.getByRole('link', { name, exact: true }) })
  const plugged = (name) => card(name).locator('.net-box.guest:not(.away)', { hasText: machine.slice(0, 8) })
  const lead = async (name) => {
    await page.goto(`${machineUrl}/settings`)
    await page.getByLabel('Adapter 1', { exact: true }).selectOption(`network:${name}`)
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.goto(new URL('#/networks', url).href)
    await plugged(name).waitFor()
  }
  await page.goto(new URL('#/networks', url).href)
  await page.getByRole('button', { name: 'Create network' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Kind').selectOption('internal')
  await dialog.getByLabel('Name', { exact: true }).fill('office')
  await dialog.getByRole('button', { name: 'Create network' }).click()
  await dialog.waitFor({ state: 'detached' })
  await lead('office')
  await plugged('web-lab').waitFor({ state: 'detached' })
  await card('web-lab').getByText('Nobody is on this network.').waitFor()
  check(!(await card('office').locator('.net-box.way-out').count()), 'an internal network has a way out')
  check(await card('web-lab').locator('.net-box.way-out').count(), 'NAT has no way out')
  await inspect(page, 'networks-drawn')
  await lead('web-lab')
  await plugged('office').waitFor({ state: 'detached' })
  await page.goto(new URL('#/networks/office', url).href)
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('heading', { name: 'Networks', level: 1 }).waitFor()
})

await Promise.all(Object.entries({
  'desk-light': { ...desk, colorScheme: 'light' },
  'desk-dark': { ...desk, colorScheme: 'dark' },
  'telephone-light': { ...telephone, colorScheme: 'light' },
  'telephone-dark-ja': { ...telephone, colorScheme: 'dark', locale: 'ja-JP' },
}).map(async ([look, options]) => {
  const other = await open(browser, options)
  await logIn(other, env.YADO_USER, env.YADO_PASSWORD)
  await other.locator('.machine-row').first().waitFor()
  const places = { machines: '#/machines', create: '#/machines/new', disks: '#/disks', resources: '#/resources', events: '#/events',
                   tasks: '#/tasks', users: '#/users', permissions: '#/users/permissions', tokens: '#/users/tokens', automation: '#/automation', webhooks: '#/automation/webhooks', server: '#/server',
                   machine: new URL(machineUrl).hash, settings: `${new URL(machineUrl).hash}/settings`,
                   networks: '#/networks', network: '#/networks/web-lab' }
  for (const [name, hash] of Object.entries(places))
    await step(`${name}, ${look}`, async () => {
      await other.goto(new URL(hash, url).href)
      await other.locator('main h1').waitFor()
      await settled(other)
      await inspect(other, `${name}-${look}`)
    })
  await step(`its language is the browser's, ${look}`, async () => {
    check((await other.evaluate(() => document.documentElement.lang)) === (options.locale ? 'ja' : 'en'), 'another language')
  })
  await other.context().close()
}))

await step('a webhook is added, and removed', async () => {
  await page.goto(new URL('#/automation/webhooks', url).href)
  await page.getByRole('button', { name: 'Add webhook' }).first().click()
  await page.getByRole('dialog').getByRole('textbox', { name: 'Address' }).fill('http://127.0.0.1:9/hook')
  await page.getByRole('dialog').getByRole('button', { name: 'Save changes' }).click()
  await page.getByRole('rowheader', { name: 'http://127.0.0.1:9/hook' }).waitFor()
  await inspect(page, 'webhooks')
  await page.getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('rowheader').waitFor({ state: 'detached' })
})
await step('the keyboard alone opens a menu, a dialog, and comes back', async () => {
  await page.goto(machineUrl)
  const menu = page.locator('.page-head .menu > button')
  await menu.focus()
  await page.keyboard.press('Enter')
  await page.keyboard.press('ArrowDown')
  await page.getByRole('menuitem', { name: 'Turn off' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  check(await page.evaluate(() => !!document.activeElement?.closest('dialog')), 'the focus is not in the dialog')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  check(await menu.evaluate((element) => element === document.activeElement), 'the focus did not come back')
})
if (env.YADO_USER2)
  await step('somebody without rights does not see it, and then only what was allowed', async () => {
    const other = await open(browser, desk)
    await logIn(other, env.YADO_USER2, env.YADO_PASSWORD2)
    await other.getByRole('heading', { name: 'Machines', level: 1 }).waitFor()
    check(!(await other.getByText(machine).count()), 'a machine is seen without the right to')
    await page.goto(`${machineUrl}/permissions`)
    await page.getByRole('button', { name: 'Add permission' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('textbox', { name: 'Who' }).fill(env.YADO_USER2)
    await dialog.getByRole('checkbox', { name: /^Control/ }).uncheck()
    await dialog.getByRole('button', { name: 'Save changes' }).click()
    await dialog.waitFor({ state: 'detached' })
    await other.reload()
    await other.getByRole('link', { name: machine }).first().click()
    await other.getByRole('heading', { name: machine, level: 1 }).waitFor()
    check(!(await other.getByRole('button', { name: 'Shut down' }).count()), 'who may look may also control')
    check(!(await other.getByRole('link', { name: 'Screen', exact: true }).count()), 'who may look may use the console')
    await inspect(other, 'second-user')
    await other.context().close()
  })
await step('turned off', async () => {
  await page.goto(machineUrl)
  await viaMenu(page, 'Turn off')
  await page.getByRole('dialog').getByRole('button', { name: 'Turn off' }).click()
  await state(page).filter({ hasText: 'Off' }).waitFor()
})
await step('found in the events with who did it', async () => {
  await page.goto(`${machineUrl}/events`)
  await page.locator('.event', { hasText: 'turned off' }).filter({ hasText: env.YADO_USER }).first().waitFor()
})
await step('deleted with its disk', async () => {
  await page.goto(machineUrl)
  await viaMenu(page, 'Delete')
  await page.getByRole('dialog').getByRole('checkbox').check()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('heading', { name: 'Machines', level: 1 }).waitFor()
  await page.locator('.machine-row', { hasText: machine }).waitFor({ state: 'detached' })
})
await step('a network without machines is deleted', async () => {
  await page.goto(new URL('#/networks/web-lab', url).href)
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('heading', { name: 'Networks', level: 1 }).waitFor()
  check(!(await page.locator('.net-cards .panel').count()), 'the network is still there')
})
await step('logging out ends it', async () => {
  await page.getByRole('button', { name: 'Log out' }).first().click()
  await page.locator('input[type=password]').waitFor()
  await page.reload()
  await page.locator('input[type=password]').waitFor()
})
await browser.close()
console.log(`${counts.passed} passed, ${counts.failed} failed`)
process.exit(counts.failed ? 1 : 0)
