/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/p2p.h>
#include <unistd.h>

static const struct command commands[] = {
	{"demo", cmd_demo,
	 "show host memory moving between two processes, all bytes checked"},
	{"perf", cmd_perf,
	 "measure transfers: serve, be the client of a server, or both"},
	{"mesh", cmd_mesh,
	 "measure all pairs of GPUs of several hosts: a matrix"},
	{"raw", cmd_raw, "measure bare TCP on this machine, the ceiling alone"},
	{"info", cmd_info, "version, rails and transports of this machine"},
	{"config", cmd_config, "every setting in force and where it is from"},
	{"nixl", cmd_nixl,
	 "the backend TCPX in installed NIXLs: install, status, remove, paths"},
	{"version", cmd_version, "the version"},
	/* The other process of demo and of perf --self. */
	{"_peer", cmd_peer, NULL},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("error: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
}

static void usage(FILE *out)
{
	fputs("Usage: tcpx COMMAND [OPTION...]\n\n"
	      "Moves memory between hosts over plain TCP, and shows how "
	      "fast.\n\n",
	      out);
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (commands[i].help)
			fprintf(out, "  %-9s %s\n", commands[i].name,
				commands[i].help);
	fputs("\nExamples:\n"
	      "  tcpx demo                       the whole show, half a minute\n"
	      "  tcpx perf                       serve on port 7174\n"
	      "  tcpx perf HOST --op read        measure against a server\n"
	      "  tcpx perf --self --ceiling      both ends here, with raw TCP\n"
	      "  tcpx perf HOST --single         does one message arrive?\n"
	      "  tcpx mesh --hosts A,B           all pairs, same line on each\n"
	      "  tcpx COMMAND --help             what a command can do\n\n",
	      out);
	fputs(EXIT_STATUS_HELP, out);
}

static const struct command *find(const char *name)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* "help perf" as "perf --help"; "help" alone stays. */
static int turn_help(int argc, char **argv)
{
	static char option[] = "--help";

	if (argc < 3 || strcmp(argv[1], "help"))
		return argc;
	argv[1] = argv[2];
	argv[2] = option;
	argv[3] = NULL;
	return 3;
}

/* At exit, argp's own included: a report that nobody got did not hold. */
static void check_output(void)
{
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return;
	complain("the output cannot be written%s%s", errno ? ": " : "",
		 errno ? strerror(errno) : "");
	_exit(EXIT_BROKE);
}

int main(int argc, char **argv)
{
	const struct command *command;
	char title[32];

	argp_err_exit_status = EXIT_USAGE;
	atexit(check_output);
	argc = turn_help(argc, argv);
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?") ||
	    !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_HELD;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return cmd_version(1, argv);
	command = find(argv[1]);
	if (!command) {
		complain("no command \"%s\"; see tcpx --help", argv[1]);
		return EXIT_USAGE;
	}
	snprintf(title, sizeof(title), "tcpx %s", command->name);
	argv[1] = title;
	return command->run(argc - 1, argv + 1);
}
