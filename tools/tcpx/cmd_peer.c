/* SPDX-License-Identifier: Apache-2.0 */
/* The other process of demo and perf --self: gives its blob to the one that
 * started it and serves until that one closes the descriptor. */
#include "cmd.h"

#include "common/size.h"
#include "open.h"
#include "serve.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEY_FD = 0x100, KEY_LOOPBACK };

struct arguments {
	int fd;
	struct session_options session;
};

static const struct argp_option option_table[] = {
	{"fd", KEY_FD, "N", 0, "descriptor the blob is written to", 0},
	{"loopback", KEY_LOOPBACK, NULL, 0, "use interface lo", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	uint64_t fd = 0;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->session;
		return 0;
	case KEY_FD:
		if (number_parse(arg, 0, 65535, &fd))
			argp_error(state, "--fd %s: a descriptor is wanted",
				   arg);
		a->fd = (int)fd;
		return 0;
	case KEY_LOOPBACK:
		a->session.loopback = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&session_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
	.options = option_table,
	.parser = parse_option,
	.children = children,
	.doc = "The second process of tcpx demo and tcpx perf --self.",
};

/* Length (native: the reader is the same program), then the blob. */
static int give_blob(struct tcpx_session *session, int fd)
{
	struct {
		uint32_t len;
		unsigned char blob[TCPX_BLOB_MAX];
	} message;
	size_t len = 0;
	ssize_t n;
	int status = tcpx_session_blob(session, message.blob,
				       sizeof(message.blob), &len);

	if (status) {
		complain("no connection blob: %s", tcpx_strerror(status));
		return status;
	}
	message.len = (uint32_t)len;
	n = write(fd, &message, sizeof(message.len) + len);
	return n == (ssize_t)(sizeof(message.len) + len) ? 0 : TCPX_ECLOSED;
}

/* One byte when the other process is ready for us; see process.c. */
static bool told_to_go(int fd)
{
	char go;

	return read(fd, &go, 1) == 1;
}

/* Nothing more is written to us: readable means closed. */
static bool still_wanted(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

int cmd_peer(int argc, char **argv)
{
	struct arguments arguments = {.fd = -1, .session.quiet = true};
	struct tcpx_config config;
	struct server server = {.keep_on = still_wanted,
				.arg = &arguments.fd,
				.look_every_ms = 20};
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &arguments);
	if (arguments.fd < 0) {
		complain("this command is for tcpx itself");
		return EXIT_USAGE;
	}
	if (!told_to_go(arguments.fd))
		return EXIT_HELD;
	if (options_config(&arguments.session, &config) ||
	    session_open(&config, "the second process cannot open a session",
			 &server.session))
		return EXIT_SETUP;
	status = give_blob(server.session, arguments.fd);
	if (!status)
		serve(&server);
	tcpx_session_close(server.session);
	return status ? EXIT_SETUP : EXIT_HELD;
}
