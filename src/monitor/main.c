/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yado-vm: one virtual machine. Options become a definition, the definition a machine, and a
 * loop serves its timers, its disks, its serial line and its control socket until it ends.
 *
 * Exit status: 0 the guest powered off, or the user ended or saved it; 1 the machine broke; 2 wrong input;
 * with --debug-exit whatever the guest chose.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "monitor/commands.h"
#include "monitor/definition.h"
#include "monitor/networks.h"
#include "monitor/serial.h"
#include "monitor/terminal.h"
#include "monitor/vnc.h"
#include "monitor/work.h"
#include "wire/control.h"

enum { STATUS_OK = 0, STATUS_BROKEN = 1, STATUS_USAGE = 2 };

struct vm {
    struct definition def;
    struct machine *machine;
    struct serial *serial, *debug;
    struct vnc *vnc;
    struct control *control;
    struct typist *typist;
    struct work *work;
    struct networks *networks;
    struct commands commands;
    uv_loop_t loop;
    uv_poll_t event_poll, timer_poll;
    uv_signal_t signals[4];
    bool quit;
    bool disk_full; /* and that has been said */
    int signal;     /* that ended the machine, or 0 */
};

static void vm_quit(void *ctx)
{
    struct vm *vm = ctx;

    vm->quit = true;
    uv_stop(&vm->loop);
}

static size_t serial_receive(void *ctx, const uint8_t *buf, size_t len_bytes)
{
    struct vm *vm = ctx;
    size_t n;

    machine_lock(vm->machine);
    n = machine_serial_receive(vm->machine, buf, len_bytes);
    machine_unlock(vm->machine);
    return n;
}

static void serial_tx_ready(void *ctx)
{
    struct vm *vm = ctx;

    machine_lock(vm->machine);
    machine_serial_tx_ready(vm->machine);
    machine_unlock(vm->machine);
}

/* Nobody reads what is typed at the debug console, and its port never refuses. */
static size_t debug_receive(void *ctx, const uint8_t *buf, size_t len_bytes)
{
    (void)ctx;
    (void)buf;
    return len_bytes;
}

static void debug_tx_ready(void *ctx)
{
    (void)ctx;
}

/* The machine stands still when its disks cannot grow: say so, once each time. */
static void disk_full(struct vm *vm)
{
    bool full = machine_disk_is_full(vm->machine);

    if (full && !vm->disk_full) {
        fprintf(stderr, "yado: the host has no room for what the guest writes; the machine is "
                        "paused. Make room, then resume it (or send SIGCONT)\n");
        if (vm->control)
            control_event(vm->control, "disk-full", NULL);
    }
    vm->disk_full = full;
}

static void on_machine(uv_poll_t *handle, int status, int events)
{
    struct vm *vm = handle->data;

    (void)status;
    (void)events;
    machine_poll(vm->machine);
    disk_full(vm);
    if (machine_end(vm->machine) != MACHINE_RUNS)
        uv_stop(&vm->loop);
}

static void on_signal(uv_signal_t *handle, int sig)
{
    struct vm *vm = handle->data;

    if (sig == SIGCONT) { /* `fg`, or room was made on the host's disk */
        if (vm->disk_full)
            machine_resume(vm->machine);
        return;
    }
    vm->signal = sig;
    vm_quit(vm);
}

/* Nothing is written to a file, and no vCPU runs, before all of this has worked. */
static int vm_open(struct vm *vm, struct error *err)
{
    struct machine_config config;
    int r;

    r = serial_new(&vm->loop, vm->def.serial, &vm->serial, err);
    if (r < 0)
        return r;
    if (vm->def.debug_console) {
        r = serial_new(&vm->loop, vm->def.debug_console, &vm->debug, err);
        if (r < 0)
            return r;
    }
    if (!strncmp(vm->def.display, "vnc=", 4)) {
        r = vnc_new(vm->def.display + 4, vm->def.name, &vm->vnc, err);
        if (r < 0)
            return r;
    }
    r = networks_new(vm->def.name, vm->def.nets, vm->def.net_count, &vm->networks, err);
    if (r < 0)
        return r;
    definition_to_config(&vm->def, &config);
    config.serial = serial_chardev(vm->serial);
    if (vm->debug)
        config.debug = serial_chardev(vm->debug);
    r = machine_new(&config, &vm->machine, err);
    if (r < 0)
        return r;
    if (vm->def.reserve_state) {
        r = machine_reserve(vm->machine, vm->def.reserve_state, err);
        if (r < 0)
            return error_prefix(err, r, "--reserve-state");
    }
    r = typist_new(&vm->loop, vm->machine, &vm->typist);
    if (r < 0)
        return r;
    vm->commands = (struct commands){.name = vm->def.name,
                                     .machine = vm->machine,
                                     .typist = vm->typist,
                                     .networks = vm->networks,
                                     .quit = vm_quit,
                                     .ctx = vm};
    if (vm->def.control)
        r = control_new(&vm->loop, vm->def.control, commands_execute, &vm->commands, &vm->control,
                        err);
    if (r == 0)
        r = work_new(&vm->loop, vm->machine, vm->control, &vm->work);
    vm->commands.work = vm->work;
    return r;
}

static int vm_start(struct vm *vm, struct error *err)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCONT};
    struct serial_peer peer = {serial_receive, serial_tx_ready, vm_quit, vm};
    struct serial_peer debug_peer = {debug_receive, debug_tx_ready, vm_quit, vm};
    int r;

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        uv_signal_init(&vm->loop, &vm->signals[i]);
        vm->signals[i].data = vm;
        uv_signal_start(&vm->signals[i], on_signal, signals[i]);
    }
    uv_poll_init(&vm->loop, &vm->event_poll, machine_event_fd(vm->machine));
    uv_poll_init(&vm->loop, &vm->timer_poll, machine_timer_fd(vm->machine));
    vm->event_poll.data = vm->timer_poll.data = vm;
    uv_poll_start(&vm->event_poll, UV_READABLE, on_machine);
    uv_poll_start(&vm->timer_poll, UV_READABLE, on_machine);

    r = serial_start(vm->serial, &peer, err);
    if (r == 0 && vm->debug)
        r = serial_start(vm->debug, &debug_peer, err);
    if (r == 0 && vm->vnc)
        r = vnc_start(vm->vnc, vm->machine, err);
    if (r == 0)
        r = networks_start(vm->networks, vm->machine, err);
    if (r == 0)
        r = machine_start(vm->machine, err);
    if (r == 0 && vm->def.restore)
        work_watch(vm->work);
    return r;
}

/* Guest first, so that everything it has written is on its disks; the terminal last. */
static void vm_close(struct vm *vm)
{
    if (vm->machine)
        machine_pause(vm->machine);
    vm->vnc = vnc_free(vm->vnc);
    vm->work = work_free(vm->work);
    vm->control = control_free(vm->control);
    vm->typist = typist_free(vm->typist);
    vm->networks = networks_free(vm->networks);
    vm->machine = machine_free(vm->machine);
    vm->debug = serial_free(vm->debug);
    vm->serial = serial_free(vm->serial);
    terminal_restore();
    definition_done(&vm->def);
}

static int vm_status(const struct vm *vm, char *report, size_t report_bytes)
{
    report[0] = '\0';
    switch (machine_end(vm->machine)) {
    case MACHINE_DEBUG_EXITED:
        return machine_exit_status(vm->machine);
    case MACHINE_TRIPLE_FAULT:
    case MACHINE_BROKEN:
        snprintf(report, report_bytes, "%s", machine_report(vm->machine));
        return STATUS_BROKEN;
    default:
        return STATUS_OK;
    }
}

static void print_stats(const struct vm *vm)
{
    char text[2048];

    for (unsigned i = 0; i < vm->def.cpus; i++) {
        machine_stats(vm->machine, i, text, sizeof(text));
        if (*text)
            fprintf(stderr, "processor %u, engine %s\n%s", i, machine_engine_name(vm->machine),
                    text);
    }
}

/* How it came to its end, for who has started us (yadod). */
static void write_report(const struct vm *vm, const char *end, int status, const char *message)
{
    json_t *report = json_pack("{s:s, s:i, s:s}", "end", end, "status", status, "message", message);
    char *text = report ? json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    struct error err = {""};

    if (text && vm->def.report &&
        commands_write_file(vm->def.report, (const uint8_t *)text, strlen(text), &err) < 0)
        fprintf(stderr, "yado: %s\n", err.text);
    free(text);
    json_decref(report);
}

static const char *end_name(const struct vm *vm)
{
    switch (machine_end(vm->machine)) {
    case MACHINE_POWERED_OFF:
        return "powered-off";
    case MACHINE_WAS_RESET:
        return "reset";
    case MACHINE_DEBUG_EXITED:
        return "debug-exit";
    case MACHINE_TRIPLE_FAULT:
        return "triple-fault";
    case MACHINE_BROKEN:
        return "broken";
    default:
        return vm->signal ? "signal" : "quit";
    }
}

static int complain(const struct error *err, int r)
{
    fprintf(stderr, "yado: %s\n", *err->text ? err->text : strerror(-r));
    return STATUS_USAGE;
}

int main(int argc, char **argv)
{
    static struct vm vm;
    struct error err = {""};
    char report[2048];
    int r, status;

    terminal_prepare();
    r = uv_loop_init(&vm.loop);
    if (r < 0 || (r = definition_init(&vm.def)) < 0)
        return complain(&err, r);
    r = definition_parse_args(&vm.def, argc, argv, &err);
    if (r == 0)
        r = vm_open(&vm, &err);
    if (r == 0 && machine_engine_note(vm.machine))
        fprintf(stderr, "yado: %s\n", machine_engine_note(vm.machine));
    if (r == 0)
        r = vm_start(&vm, &err);
    if (r < 0) {
        write_report(&vm, "failed", STATUS_USAGE, *err.text ? err.text : strerror(-r));
        vm_close(&vm);
        return complain(&err, r);
    }
    if (!vm.quit && machine_end(vm.machine) == MACHINE_RUNS)
        uv_run(&vm.loop, UV_RUN_DEFAULT);
    status = vm_status(&vm, report, sizeof(report));
    if (vm.signal && !*report)
        snprintf(report, sizeof(report), "ended by signal %d (%s)", vm.signal,
                 strsignal(vm.signal));
    if (vm.def.stats)
        print_stats(&vm);
    if (vm.machine)
        machine_pause(vm.machine); /* nothing changes any more */
    write_report(&vm, end_name(&vm), status, report);
    vm_close(&vm);
    if (*report)
        fprintf(stderr, "yado: %s\n", report);
    return status;
}
