/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine as the server knows it: a folder with machine.json (what it is, for people to edit and
 * copy) and status.json (what became of it), and perhaps a process (process.h).
 */
#ifndef SERVER_MACHINE_H
#define SERVER_MACHINE_H

#include "base/text.h"
#include "server/actor.h"
#include "server/caller.h"
#include "server/problem.h"
#include "server/server.h"

#define HISTORY_SAMPLES 60

struct process;
struct console;

enum machine_op {
    OP_NONE,
    OP_START,
    OP_PAUSE,
    OP_RESUME,
    OP_SAVE,
    OP_RESET,
    OP_TURN_OFF,
    OP_SHUTDOWN,
    OP_OTHER /* clone and delete: the machine is off and stays so */
};

/* What it uses, sampled at each tick. */
struct activity {
    int64_t time_ms; /* 0: never sampled */
    double cpu_percent, cpu_seconds;
    uint64_t memory_bytes;
    uint64_t disk_read_bytes, disk_write_bytes;
    double disk_read_rate, disk_write_rate;
    bool has_network; /* the counters of its adapters are known */
    uint64_t network_read_bytes, network_write_bytes;
    float history[HISTORY_SAMPLES];
    unsigned history_at, history_count;
};

/* When its guest last had something to do; tick.c. */
struct heartbeat {
    long long beats;
    int64_t last_ms; /* steady; 0: not known */
    bool missed;     /* that has been told */
};

/* A picture of its screen. */
struct picture {
    uint8_t *png;
    size_t bytes;
    unsigned width;
    int64_t time_ms; /* steady */
};

struct machine {
    struct server *server;
    char id[17];
    char *name;
    char *folder; /* its definition and what became of it: the server's own */
    char *files;  /* FOLDER/files: disks and the saved state, which its process may write to */
    char *run;
    json_t *definition; /* has a name at least */
    char etag[17];
    char *problem; /* why the definition's file cannot be used */
    uint64_t memory_bytes;

    enum machine_state state;
    int64_t since_ms, started_ms;
    bool has_reason;
    enum reason_code reason;
    char reason_text[256];
    struct actor reason_actor;
    bool save_paused;  /* it stood still when saving began */
    bool keeps_room;   /* its process holds the room that saving takes */
    bool was_on;       /* when the server ended: for autostart */
    json_t *started;   /* the definition that the process was started with, or NULL */
    json_t *addresses; /* of its adapters, as texts, when it was last turned on, or NULL */
    bool jailed;
    bool shared; /* has a cgroup */
    char engine[64];

    struct process *process;
    struct console *console;
    enum machine_op op;
    struct task *task; /* of op */
    uv_timer_t *timer; /* of op's time limit; made when first needed */
    bool force;        /* turn it off when the guest has not shut down in time */

    struct activity activity;
    struct heartbeat heartbeat;
    struct picture thumbnail;
    /* view.c's: what is shown of it, until machine_changed() and until the next sample; or NULL. */
    char *shown, *shown_activity;
    /* What lies among its files, and when that was counted (steady; 0: never). rest/quota.c. */
    long long own_bytes;
    int64_t own_counted_ms;

    struct machine *next;
};

/* ---- inventory.c ---- */

/* Read all definitions. Those that are new become machines; ret_problems (NULL or an array) gets
 * a line for each that cannot be used. Returns how many there are. */
unsigned inventory_load(struct server *server, json_t *ret_problems);
/* Before that, once: take away what a server that was killed has left half made or half removed. */
void inventory_recover(struct server *server);
void inventory_free(struct server *server);
/*
 * Has a person put folders of machines there, or taken some away? Costs one stat() where not. Those that
 * are still being copied are taken when they have come to rest, machines that run when they are off.
 */
void inventory_look(struct server *server);

/*
 * Make one, turned off. definition has passed the schema; it is copied. owner may be NULL. 0, or
 * -1 with the problem. unfinished: its disks are still to be made; a server that starts before
 * machine_finished() removes it.
 */
int machine_create(struct server *server, json_t *definition, const char *owner, bool unfinished,
                   struct machine **ret_machine, struct problem *p);
int machine_finished(struct machine *m, struct problem *p);
/* Take another definition, which has passed the schema, for the machine. 0, or -1. */
int machine_redefine(struct machine *m, json_t *definition, struct problem *p);
/* Remove its files (with_disks: those in its folder too) and forget it. m is gone afterwards. */
int machine_remove(struct machine *m, bool with_disks, struct problem *p);
/* Write status.json. */
void machine_keep_status(struct machine *m);

/* ---- machine.c ---- */

struct machine *machine_find(struct server *server, const char *id);
struct machine *machine_find_name(struct server *server, const char *name);
/* NULL: nobody in particular. */
const char *machine_owner(const struct machine *m);
/* The path of a disk of its definition as the host knows it; freed with free(). */
char *machine_disk_path(const struct machine *m, const char *file);
/* True when it has this file, resolved, as a disk: now, from the next start on, or where saved. */
bool machine_uses(const struct machine *m, const char *path);
/* Some machine (but not except) that has it, or NULL. */
struct machine *machine_using(struct server *server, const char *path,
                              const struct machine *except);
/* "512M" or a number of MiB, as definitions have it. */
uint64_t definition_memory_bytes(json_t *definition);
/* Members of "server" and of what lies in it, with defaults. */
json_t *machine_part(const struct machine *m, const char *part);
long long machine_integer(const struct machine *m, const char *part, const char *name);
/* part NULL: of "server" itself. The place in the schema's list. */
int machine_choice(const struct machine *m, const char *part, const char *name);

/* ---- view.c ---- */

/* As the API shows it to a caller (NULL: the server itself): a JSON object. */
void machine_print(struct machine *m, const struct caller *caller, struct text *out);
/* The same; freed with free(). NULL: no memory. */
char *machine_text(struct machine *m, const struct caller *caller);
json_t *activity_json(const struct machine *m, bool with_history);
/* What is shown of it has changed: make it anew, and tell all. */
void machine_changed(struct machine *m);
struct about machine_about(const struct machine *m);
/* Its saved memory: true when there is some. */
bool machine_saved(const struct machine *m, uint64_t *ret_bytes, int64_t *ret_time_ms);

#endif
