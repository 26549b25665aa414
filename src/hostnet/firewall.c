/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * https://docs.docker.com/engine/network/packet-filtering-firewalls/ (2025): "Docker also sets the
 * policy for the FORWARD chain to DROP", and "rules in DOCKER-USER are processed before rules that
 * Docker creates". nft(8): "a dropped packet is not seen by later chains", an accepted one is.
 */
#define LOG_ROOM "firewall"
#include "hostnet/firewall.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"

#define COMMENT "yado-net"
#define PATIENCE_S "5"
#define OUTPUT_BYTES KIB(256)
#define AGAIN_MAX 16u

static const char *const programs[] = {"/usr/sbin/iptables", "/sbin/iptables", "/usr/bin/iptables"};
static const char *const chains[] = {"DOCKER-USER", "FORWARD"};

static const char *find_program(void)
{
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        if (access(programs[i], X_OK) == 0)
            return programs[i];
    return NULL;
}

/* Run it to its end; output (of bytes, with a zero at its end) may be NULL. 0, or -EIO. */
static int run(const char *const *args, char *output, size_t bytes)
{
    char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    posix_spawn_file_actions_t actions;
    size_t len = 0;
    int pipes[2], status = 0, r;
    pid_t pid;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -EIO;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    r = posix_spawn(&pid, args[0], &actions, NULL, (char *const *)(uintptr_t)args, env);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    while (r == 0) {
        char scrap[4096];
        bool keep = output && len + 1 < bytes;
        ssize_t n =
            read(pipes[0], keep ? output + len : scrap, keep ? bytes - 1 - len : sizeof(scrap));

        if (n <= 0 && !(n < 0 && errno == EINTR))
            break;
        len += keep && n > 0 ? (size_t)n : 0;
    }
    close(pipes[0]);
    if (output)
        output[len] = '\0';
    if (r)
        return -EIO;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* iptables ACTION CHAIN with the rule for one direction. */
static int rule(const char *program, const char *action, const char *chain, const char *direction,
                const char *interface)
{
    const char *args[] = {program, "-w",      PATIENCE_S,  action,  chain, direction, interface,
                          "-m",    "comment", "--comment", COMMENT, "-j",  "ACCEPT",  NULL};

    return run(args, NULL, 0);
}

static bool has_chain(const char *program, const char *chain)
{
    const char *args[] = {program, "-w", PATIENCE_S, "-n", "-L", chain, NULL};

    return run(args, NULL, 0) == 0;
}

/* It may be there more than once, from a network that ended with all that belongs to it. */
static void remove_rules(const char *program, const char *chain, const char *interface)
{
    for (unsigned i = 0; i < AGAIN_MAX; i++)
        if (rule(program, "-D", chain, "-i", interface) < 0)
            break;
    for (unsigned i = 0; i < AGAIN_MAX; i++)
        if (rule(program, "-D", chain, "-o", interface) < 0)
            break;
}

/* Rules of ours for interfaces that are not there. */
static void remove_stale(const char *program, const char *chain)
{
    const char *args[] = {program, "-w", PATIENCE_S, "-S", chain, NULL};
    AUTO_FREE char *text = malloc(OUTPUT_BYTES);
    char *save, *line;

    if (!text || run(args, text, OUTPUT_BYTES) < 0)
        return;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *found = strstr(line, " -i ") ? strstr(line, " -i ") : strstr(line, " -o ");
        char interface[IFNAMSIZ];

        if (!found || !strstr(line, "--comment " COMMENT " ") ||
            sscanf(found + 4, "%15s", interface) != 1 || if_nametoindex(interface))
            continue;
        remove_rules(program, chain, interface);
    }
}

static const char *chain_for(const char *program)
{
    for (size_t i = 0; i < ARRAY_LEN(chains); i++)
        if (has_chain(program, chains[i]))
            return chains[i];
    return NULL;
}

int firewall_open(const char *interface, struct error *err)
{
    const char *program = find_program();
    const char *chain = program ? chain_for(program) : NULL;

    if (!chain)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
        remove_rules(program, chains[i], interface);
        remove_stale(program, chains[i]);
    }
    if (rule(program, "-I", chain, "-i", interface) < 0 ||
        rule(program, "-I", chain, "-o", interface) < 0) {
        firewall_close(interface);
        return error_set(err, -EIO, "%s takes no rule for %s in %s", program, interface, chain);
    }
    log_info("%s may be forwarded: rules in iptables' %s", interface, chain);
    return 1;
}

void firewall_close(const char *interface)
{
    const char *program = find_program();

    for (size_t i = 0; program && i < ARRAY_LEN(chains); i++)
        remove_rules(program, chains[i], interface);
}
