/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yado-jail: starts a virtual machine's process in a place of its own. See yado-jail(8).
 *
 * The only program of Yado that must be root. What the host refuses it does without, and says so in
 * the folder of the machine's sockets (jail.json), where the server reads it.
 *
 * Exit status: the machine's; 125 it could not be started.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <jansson.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "jail/filter.h"
#include "jail/parents.h"
#include "jail/place.h"

#define STATUS_JAIL 125
#define FILES_LIMIT 4096

struct jail {
    struct place place;
    const char *run, *group;
    pid_t into;
    bool net, wire;
    char **args;
    json_t *missing;
    int report; /* RUN/jail.json, opened while we still see it */
};

/* Something that the host does not let us have. */
static void lacks(struct jail *j, const char *what, int r)
{
    char text[160];

    snprintf(text, sizeof(text), "%s (%s)", what, strerror(-r));
    json_array_append_new(j->missing, json_string(text));
}

static void write_report(struct jail *j)
{
    json_t *report = json_pack("{s:O}", "missing", j->missing);
    char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;

    if (text && j->report >= 0 && write(j->report, text, strlen(text)) < 0)
        fprintf(stderr, "yado-jail: jail.json: %s\n", strerror(errno));
    free(text);
    json_decref(report);
    if (j->report >= 0)
        close(j->report);
    j->report = -1;
}

static int join_group(const char *group)
{
    char path[PATH_MAX];
    int fd, r = 0;

    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, "0", 1) < 0)
        r = -errno;
    close(fd);
    return r;
}

static void leave(struct jail *j, int flag, const char *what)
{
    if (unshare(flag) < 0)
        lacks(j, what, -errno);
}

/*
 * As the machine's user, with what may be needed of root's powers: none, or those over the host's
 * network for a machine on a TAP interface or the host's wire. -errno.
 */
static int drop(const struct jail *j, bool user)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    uint32_t keep = j->wire ? 1u << CAP_NET_ADMIN | 1u << CAP_NET_RAW : 0;

    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (cap > 31 || !(keep >> cap & 1))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (user &&
        (setgroups(0, NULL) < 0 || setresgid(j->place.user, j->place.user, j->place.user) < 0 ||
         setresuid(j->place.user, j->place.user, j->place.user) < 0))
        return -errno;
    data[0].effective = data[0].permitted = data[0].inheritable = keep;
    if (syscall(SYS_capset, &head, data) < 0)
        return -errno;
    for (int cap = 0; cap < 32; cap++)
        if ((keep >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int die(const char *what, int r)
{
    fprintf(stderr, "yado: the jail: %s: %s\n", what, strerror(-r));
    return STATUS_JAIL;
}

/* The process that becomes the machine; in a PID namespace of its own if there is one. */
static int become(struct jail *j, bool placed, bool pids)
{
    struct rlimit core = {0}, files = {FILES_LIMIT, FILES_LIMIT};
    int r;

    if (placed && pids) {
        r = place_proc();
        if (r < 0)
            lacks(j, "its own /proc", r);
    }
    if (placed) {
        r = place_seal();
        if (r < 0)
            lacks(j, "a root that is read-only", r);
    }
    if (chdir(j->run) < 0)
        return die(j->run, -errno);
    setrlimit(RLIMIT_CORE, &core);
    setrlimit(RLIMIT_NOFILE, &files);
    umask(0077);
    r = drop(j, placed);
    if (r < 0)
        return die("another user", r);
    /* With the one who waits for it, the machine goes: nobody would know of it any more. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    write_report(j);
    r = filter_load(j->wire);
    if (r < 0)
        return die("its filter of system calls", r);
    execv(j->args[0], j->args);
    return die(j->args[0], -errno);
}

/* Wait, without any power, and end as it does. */
static int stay(struct jail *j, pid_t pid)
{
    int status;

    drop(j, true);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return STATUS_JAIL;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

static int start(struct jail *j)
{
    struct error err = {""};
    bool placed = false, pids;
    pid_t pid;
    int r;

    if (j->group && (r = join_group(j->group)) < 0)
        lacks(j, "its cgroup", r);
    leave(j, CLONE_NEWIPC, "an IPC namespace");
    leave(j, CLONE_NEWUTS, "a UTS namespace");
    if (!j->net)
        leave(j, CLONE_NEWNET, "a network namespace");
    if (unshare(CLONE_NEWNS) < 0) {
        lacks(j, "a mount namespace, and so a user and a root of its own", -errno);
    } else {
        r = place_enter(&j->place, &err);
        if (r < 0) {
            fprintf(stderr, "yado: the jail: %s\n", err.text);
            return STATUS_JAIL;
        }
        placed = true;
    }
    pids = unshare(CLONE_NEWPID) == 0;
    if (!pids)
        lacks(j, "a PID namespace", -errno);
    pid = fork();
    if (pid < 0)
        return die("fork", -errno);
    return pid == 0 ? become(j, placed, pids) : stay(j, pid);
}

/* ---- options ---- */

static void help(void)
{
    puts("Usage: yado-jail --uid NUMBER --run FOLDER [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
         "\n"
         "Starts a virtual machine's process in a place of its own; yadod calls it, as root.\n"
         "\n"
         "  --uid NUMBER      its user and group\n"
         "  --run FOLDER      of its sockets; it may write there\n"
         "  --folder FOLDER   it may write in this folder\n"
         "  --read PATH       it may read this file, or in this folder\n"
         "  --write FILE      it may write this file\n"
         "  --disk FILE       it may read the parents of this disk\n"
         "  --parents FOLDER  where those may lie, besides the disks' folders\n"
         "  --group FOLDER    its cgroup\n"
         "  --net             it uses the host's network\n"
         "  --wire            and the host's interfaces: TAP, packet sockets\n"
         "\n"
         "  --into PID --read PATH  give it to a machine that runs\n"
         "\n"
         "The manual is yado-jail(8).");
}

static int usage(const char *what)
{
    fprintf(stderr, "yado-jail: %s; see 'yado-jail --help'\n", what);
    return STATUS_JAIL;
}

enum {
    OPT_UID = 1,
    OPT_RUN,
    OPT_FOLDER,
    OPT_READ,
    OPT_WRITE,
    OPT_INTO,
    OPT_DISK,
    OPT_PARENTS,
    OPT_GROUP,
    OPT_NET,
    OPT_WIRE,
    OPT_HELP
};

static const struct option options[] = {{"uid", required_argument, NULL, OPT_UID},
                                        {"run", required_argument, NULL, OPT_RUN},
                                        {"folder", required_argument, NULL, OPT_FOLDER},
                                        {"read", required_argument, NULL, OPT_READ},
                                        {"write", required_argument, NULL, OPT_WRITE},
                                        {"into", required_argument, NULL, OPT_INTO},
                                        {"disk", required_argument, NULL, OPT_DISK},
                                        {"parents", required_argument, NULL, OPT_PARENTS},
                                        {"group", required_argument, NULL, OPT_GROUP},
                                        {"net", no_argument, NULL, OPT_NET},
                                        {"wire", no_argument, NULL, OPT_WIRE},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        {0}};

/* A path as it is without links; those that are missing are the machine's to complain of. */
static int add(struct jail *j, const char *path, bool write)
{
    char *real = realpath(path, NULL);
    int r = 0;

    if (real)
        r = place_add(&j->place, real, write);
    if (r != 0)
        free(real);
    return MIN(r, 0);
}

static int parse(struct jail *j, struct parents *parents, int argc, char **argv)
{
    char *end;
    int c, r = 0;

    while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1 && r == 0) {
        switch (c) {
        case OPT_UID:
            j->place.user = (uid_t)strtoul(optarg, &end, 10);
            if (*end || !j->place.user)
                return -EINVAL;
            break;
        case OPT_RUN:
            j->run = optarg;
            r = add(j, optarg, true);
            break;
        case OPT_FOLDER:
            r = add(j, optarg, true);
            break;
        case OPT_READ:
        case OPT_WRITE:
            r = add(j, optarg, c == OPT_WRITE);
            break;
        case OPT_INTO:
            j->into = (pid_t)strtol(optarg, &end, 10);
            if (*end || j->into <= 0)
                return -EINVAL;
            break;
        case OPT_DISK:
            r = parents_disk(parents, optarg);
            break;
        case OPT_PARENTS:
            r = parents_folder(parents, optarg);
            break;
        case OPT_GROUP:
            j->group = optarg;
            break;
        case OPT_NET:
        case OPT_WIRE:
            j->net = true;
            j->wire |= c == OPT_WIRE;
            break;
        default:
            return -EINVAL;
        }
    }
    j->args = argv + optind;
    return r;
}

/* Give files to a machine that runs. */
static int reach(const struct jail *j)
{
    struct error err = {""};

    if (geteuid() != 0 || !j->place.user || j->place.count != 1)
        return usage("--into needs root, --uid and one --read");
    if (place_reach(j->into, j->place.files[0].path, j->place.user, &err) == 0)
        return 0;
    fprintf(stderr, "yado: the jail: %s\n", err.text);
    return STATUS_JAIL;
}

int main(int argc, char **argv)
{
    static struct jail j;
    static struct parents parents;
    char path[PATH_MAX];
    int r;

    if (argc == 2 && !strcmp(argv[1], "--help")) {
        help();
        return 0;
    }
    umask(0022); /* folders on the way to what it is given are for its user to pass */
    j.missing = json_array();
    r = parse(&j, &parents, argc, argv);
    if (r == 0 && j.into)
        _exit(reach(&j)); /* as below */
    if (r < 0 || !j.run || !j.place.user || !*j.args || **j.args != '/')
        return usage(r == -E2BIG ? "too many files" : "wrong options");
    if (geteuid() != 0)
        return usage("only root can make a jail");
    snprintf(path, sizeof(path), "%s/jail.json", j.run);
    j.report = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    r = add(&j, j.args[0], false);
    if (r == 0)
        r = parents_find(&parents, j.args[0], &j.place);
    if (r < 0)
        return usage("too many files");
    /* The root is another's by now: what libraries do at exit has no place there. */
    _exit(start(&j));
}
