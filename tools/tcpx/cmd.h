/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_CMD_H
#define TCPX_TOOL_CMD_H

/*
 * A subcommand: argv[0] is "tcpx NAME", so that usage messages are right.
 * Returns the exit status of the process.
 */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help; /* NULL: not listed */
};

enum exit_status {
	EXIT_HELD = 0, /* everything asked for was done, and held */
	EXIT_BROKE = 1, /* a transfer failed, bytes were wrong, output lost */
	EXIT_USAGE = 2, /* the command line is wrong */
	EXIT_SETUP = 3, /* could not begin: settings, ports, memory, peer */
};

#define EXIT_STATUS_HELP                                                       \
	"Exit status: 0 everything held, 1 a transfer failed or bytes were "   \
	"wrong,\n2 the command line is wrong, 3 it could not begin.\n"

int cmd_demo(int argc, char **argv);
int cmd_perf(int argc, char **argv);
int cmd_mesh(int argc, char **argv);
int cmd_raw(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_nixl(int argc, char **argv);
int cmd_peer(int argc, char **argv);

/* "error: ..." on stderr with a newline. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
