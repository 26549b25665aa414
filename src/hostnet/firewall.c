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

#define COMMENT "yado-net:" /* and the interface */
#define COMMENT_BYTES 32u
#define PATIENCE_S "5"
#define OUTPUT_BYTES KIB(256)

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

/* iptables ACTION CHAIN with a rule for what comes in and goes out there; NULL: anywhere. */
static int rule(const char *program, const char *action, const char *chain, const char *in,
                const char *out, const char *interface)
{
    char comment[COMMENT_BYTES];
    const char *args[20] = {program, "-w", PATIENCE_S, action, chain};
    size_t n = 5;

    snprintf(comment, sizeof(comment), COMMENT "%s", interface);
    if (in) {
        args[n++] = "-i";
        args[n++] = in;
    }
    if (out) {
        args[n++] = "-o";
        args[n++] = out;
    }
    memcpy(args + n, (const char *[]){"-m", "comment", "--comment", comment, "-j", "ACCEPT"},
           6 * sizeof(*args));
    return run(args, NULL, 0);
}

static bool has_chain(const char *program, const char *chain)
{
    const char *args[] = {program, "-w", PATIENCE_S, "-n", "-L", chain, NULL};

    return run(args, NULL, 0) == 0;
}

/* The text of a chain's rules, as iptables -S says them; NULL: none. Freed with free(). */
static char *list(const char *program, const char *chain)
{
    const char *args[] = {program, "-w", PATIENCE_S, "-S", chain, NULL};
    char *text = malloc(OUTPUT_BYTES);

    if (text && run(args, text, OUTPUT_BYTES) == 0)
        return text;
    free(text);
    return NULL;
}

/* Remove a rule of ours, as it was listed; its words are few. */
static void remove_listed(const char *program, const char *chain, const char *line,
                          const char *interface)
{
    char in[IFNAMSIZ] = "", out[IFNAMSIZ] = "";
    const char *i = strstr(line, " -i "), *o = strstr(line, " -o ");

    if (i)
        sscanf(i + 4, "%15s", in);
    if (o)
        sscanf(o + 4, "%15s", out);
    rule(program, "-D", chain, *in ? in : NULL, *out ? out : NULL, interface);
}

/* The rules of an interface, and those of interfaces of ours that are not there any more: a network
 * may have ended with all that belongs to it. */
static void remove_rules(const char *program, const char *chain, const char *interface)
{
    AUTO_FREE char *text = list(program, chain);
    char *save, *line;

    for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        const char *comment = strstr(line, "--comment ");
        char name[IFNAMSIZ];

        /* Some versions put it into quotes, some not. */
        if (!comment || sscanf(comment + 10 + (comment[10] == '"'), COMMENT "%15[^\" ]", name) != 1)
            continue;
        if (!strcmp(name, interface) || !if_nametoindex(name))
            remove_listed(program, chain, line, name);
    }
}

bool firewall_is_there(void)
{
    return find_program() != NULL;
}

static const char *chain_for(const char *program)
{
    for (size_t i = 0; i < ARRAY_LEN(chains); i++)
        if (has_chain(program, chains[i]))
            return chains[i];
    return NULL;
}

int firewall_open(const char *interface, const char *bridge, struct error *err)
{
    const char *program = find_program();
    const char *chain = program ? chain_for(program) : NULL;
    int r;

    if (!chain)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(chains); i++)
        remove_rules(program, chains[i], interface);
    if (bridge)
        r = rule(program, "-I", chain, bridge, bridge, interface);
    else if ((r = rule(program, "-I", chain, interface, NULL, interface)) == 0)
        r = rule(program, "-I", chain, NULL, interface, interface);
    if (r < 0) {
        firewall_close(interface);
        return error_set(err, -EIO, "%s takes no rule for %s in %s", program, interface, chain);
    }
    log_info("%s may be forwarded: rules in iptables' %s", bridge ? bridge : interface, chain);
    return 0;
}

void firewall_close(const char *interface)
{
    const char *program = find_program();

    for (size_t i = 0; program && i < ARRAY_LEN(chains); i++)
        remove_rules(program, chains[i], interface);
}
