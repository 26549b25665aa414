/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The yado-vm of a machine. It is a session of its own and outlives the server; what the next
 * server needs to find it again lies beside and in the machine's folder for sockets (RUN/ID.json,
 * RUN/ID), of which the machine's user can change the second:
 *
 *   ID.json       what it was started with
 *   lock          locked (flock) by an open file that the process has inherited: it lives as long
 *                 as the lock is held, whatever its PID
 *   vm.json       the definition that it was given
 *   control, vnc, serial  its sockets
 *   jail.json     what of its jail the host has refused, written by yado-jail
 *   report.json   how it has ended, written by itself
 *   log           what it printed
 */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "server/machine.h"
#include "wire/channel.h"

#define SAVED_FILE "saved.state"
#define SAVED_PART SAVED_FILE ".part" /* what is being written; until then, the room for it */

/* How a process has come to its end. */
struct process_end {
    char end[32]; /* "powered-off", "quit", …; empty: it left no report */
    char message[256];
    int status; /* exit status, or -1 */
};

/*
 * Start one. life_ready() or life_ended() follow. restore: from SAVED_FILE. -errno with text,
 * with nothing left behind.
 */
int process_start(struct machine *m, bool restore, struct error *err);
/* Is there one? Then find it again: true, and life_ready() or life_ended() follow. */
bool process_find(struct machine *m);
/* Another medium (a path, else the drive is empty) is in a drive of its from now on. */
void process_medium(struct machine *m, const char *drive, json_t *file);
/* Ask its control socket; see channel_call(). -EPIPE where there is none. */
int process_call(struct machine *m, const char *name, json_t *arguments, unsigned timeout_ms,
                 channel_done *done, void *ctx);
/* SIGKILL. */
void process_kill(struct machine *m);
/* 0 where there is none, or it is not known yet. */
pid_t process_pid(const struct machine *m);
/* Let go of it; it runs on. */
void process_forget(struct machine *m);
/* Remove the folder of sockets of a machine that is off. */
void process_clean(struct machine *m);
/* RUN/ID/name in a form that fits into a socket's address; buf has at least 64 bytes. */
int process_socket(const struct machine *m, const char *name, char *buf, size_t room);

#endif
