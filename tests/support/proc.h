/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_PROC_H
#define TESTS_SUPPORT_PROC_H

/*
 * A child program commanded in lines: one line to its standard input, one
 * line of answer from its standard output. Dies with its parent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROC_LINE_MAX (64u * 1024)

struct proc {
	pid_t pid;
	int in, out; /* its standard input, its standard output */
	size_t n_bytes; /* read and not yet returned */
	char *line;
	char *buf;
};

/* netns: "/proc/PID/ns/net" to run in, or NULL. env: "NAME=value" strings to
 * add, NULL-ended, or NULL. Failure ends the process: a test without its
 * peer proves nothing. */
void proc_start(struct proc *proc, const char *netns, const char *const env[],
		const char *const argv[]);
void proc_send(struct proc *proc, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The next line without its end, valid until the next call; NULL: it ended,
 * or nothing came in time. */
const char *proc_line(struct proc *proc, int timeout_ms);
/* Sends and returns what follows "ok " in the answer; NULL for anything
 * else, which is then in proc->line. */
const char *proc_ask(struct proc *proc, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void proc_signal(struct proc *proc, int number);
/* Closes the pipes, kills it if it does not end by itself soon; the wait
 * status. Harmless when called twice. */
int proc_stop(struct proc *proc);
/* SIGKILL, now. */
void proc_kill(struct proc *proc);

/* The path of a program beside this one, from environment variable `env` or
 * the folder of the running program. */
const char *proc_path(const char *env, const char *name);

#endif
