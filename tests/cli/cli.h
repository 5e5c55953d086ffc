/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CLI_H
#define TESTS_CLI_H

/*
 * The command as its users have it: started with arguments, seen by its exit
 * status and by what it prints. The environment is the case's own: setenv()
 * before. What fails here ends the case.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CLI_ARGS_MAX 40

struct cli_text {
	int fd; /* -1: at its end */
	char *text; /* so far, with a final NUL */
	size_t len, cap;
};

struct cli {
	pid_t pid;
	int status; /* exit status, once it ended; signals: minus the number */
	struct cli_text out, err;
};

/* line: the command's arguments, "perf --self --size 4K", cut at spaces. */
void cli_start(struct cli *cli, const char *line);
/* The same with stderr on a terminal. False: none can be had here. */
bool cli_start_tty(struct cli *cli, const char *line);
/* Until stdout or stderr has the text. */
void cli_await(struct cli *cli, const char *text);
/* Until it ended; then status, out and err are complete. */
void cli_end(struct cli *cli);
/* Signal, then cli_end(). */
void cli_stop(struct cli *cli, int number);
/* cli_start() and cli_end(); its exit status. */
int cli_run(struct cli *cli, const char *line);
void cli_free(struct cli *cli);

/* The one JSON object on stdout; drop it with json_decref(). */
json_t *cli_json(const struct cli *cli);
/* Does it have the text? If not, the case fails and shows what it has. */
void cli_says(const struct cli_text *text, const char *what);
void cli_says_not(const struct cli_text *text, const char *what);
/* It is empty. */
void cli_silent(const struct cli_text *text);
/* No line is wider. */
void cli_fits(const struct cli_text *text, size_t columns);

/*
 * keys: "name:type ...", types s string, i integer, n number, b boolean,
 * o object, a array; a ? after it: or null. Keys that the object has beyond
 * these fail the case too: they want documenting.
 */
void cli_keys(const json_t *object, const char *keys);

#endif
