/* SPDX-License-Identifier: Apache-2.0 */
#include "open.h"

#include "cmd.h"
#include "common/size.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_TRANSPORT = 0x200,
	KEY_FLOWS,
	KEY_RAILS,
	KEY_CHECKSUM,
	KEY_IFNAMES,
	KEY_SECRET,
	KEY_PORT,
	KEY_WAIT,
};

static const struct argp_option option_table[] = {
	{NULL, 0, NULL, 0,
	 "The session (others: environment, tcpx config):", 10},
	{"transport", KEY_TRANSPORT, "NAME[,NAME]", 0,
	 "transports allowed, best first (TCPX_TRANSPORTS)", 0},
	{"flows", KEY_FLOWS, "N", 0, "connections a rail (TCPX_FLOWS)", 0},
	{"rails", KEY_RAILS, "N", 0, "rails at most (TCPX_RAILS)", 0},
	{"ifnames", KEY_IFNAMES, "LIST", 0,
	 "interfaces to use, \"eth1,eth2\" or all but some, \"^docker0,lo\" "
	 "(TCPX_IFNAMES)",
	 0},
	{"checksum", KEY_CHECKSUM, NULL, 0,
	 "checksum every chunk on the wire (TCPX_CHECKSUM)", 0},
	{"secret", KEY_SECRET, "TEXT", 0,
	 "shared secret; others on this host may see it here, "
	 "better set TCPX_SECRET",
	 0},
	{"port", KEY_PORT, "N", 0, "port to listen on (TCPX_PORT)", 0},
	{"wait", KEY_WAIT, "STYLE", 0,
	 "how to wait: auto (calls that wait, settings in force), spin (poll "
	 "without end), block (sleep at once)",
	 0},
	{0},
};

static const char *const wait_names[] = {
	[WAIT_AUTO] = "auto",
	[WAIT_SPIN] = "spin",
	[WAIT_BLOCK] = "block",
};

const char *wait_style_name(enum wait_style wait)
{
	return wait_names[wait];
}

int wait_style_parse(const char *text, enum wait_style *wait)
{
	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(wait_names[i], text))
			continue;
		*wait = (enum wait_style)i;
		return 0;
	}
	return -1;
}

static uint32_t number_arg(struct argp_state *state, const char *name,
			   const char *text, uint64_t max)
{
	uint64_t n = 0;

	if (number_parse(text, 1, max, &n))
		argp_error(state, "--%s %s: a number from 1 to %llu is wanted",
			   name, text, (unsigned long long)max);
	return (uint32_t)n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct session_options *o = state->input;

	switch (key) {
	case KEY_TRANSPORT:
		o->transport = arg;
		return 0;
	case KEY_FLOWS:
		o->n_flows = number_arg(state, "flows", arg, 64);
		return 0;
	case KEY_RAILS:
		o->n_rails = number_arg(state, "rails", arg, 64);
		return 0;
	case KEY_IFNAMES:
		o->ifnames = arg;
		return 0;
	case KEY_CHECKSUM:
		o->checksum = true;
		return 0;
	case KEY_SECRET:
		o->secret = arg;
		return 0;
	case KEY_PORT:
		o->port = (uint16_t)number_arg(state, "port", arg, 65535);
		return 0;
	case KEY_WAIT:
		if (wait_style_parse(arg, &o->wait))
			argp_error(state, "--wait %s: auto, spin or block",
				   arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp session_argp = {.options = option_table,
				  .parser = parse_option};

error_t listing_parse(int key, char *arg, struct argp_state *state)
{
	struct listing_options *options = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->session;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp_child listing_children[] = {{&session_argp, 0, NULL, 10},
					      {0}};

static atomic_bool hushed;

void log_hush(bool hush)
{
	hushed = hush;
}

static void log_line(void *arg, enum tcpx_log_level level,
		     const char *subsystem, const char *line)
{
	static const char *const names[] = {"",	    "error", "warning",
					    "info", "debug", "trace"};

	(void)arg;
	if (hushed && level > TCPX_LOG_ERROR)
		return;
	fprintf(stderr, "%s: %s: %s\n",
		(unsigned)level < 6 ? names[level] : "log", subsystem, line);
}

int options_config(const struct session_options *options,
		   struct tcpx_config *config)
{
	int status;

	memset(config, 0, sizeof(*config));
	config->size_bytes = sizeof(*config);
	status = tcpx_config_init(config, log_line, NULL);
	if (status) {
		complain("the environment: %s", tcpx_strerror(status));
		return status;
	}
	if (options->transport)
		config->transports = options->transport;
	if (options->ifnames)
		config->ifnames = options->ifnames;
	else if (options->loopback && !config->ifnames)
		config->ifnames = "lo";
	if (options->secret)
		config->secret = options->secret;
	if (options->n_flows)
		config->n_flows = options->n_flows;
	if (options->n_rails)
		config->n_rails = options->n_rails;
	if (options->loopback) /* two sessions here: no port of their own */
		config->port_first = config->port_last = 0;
	if (options->port)
		config->port_first = config->port_last = options->port;
	if (options->checksum)
		config->checksum = true;
	if (options->wait == WAIT_BLOCK)
		config->busy_poll_us = 0;
	return 0;
}

int options_open(const struct session_options *options,
		 struct tcpx_session **session)
{
	struct tcpx_config config;
	int status = options_config(options, &config);

	if (status)
		return status;
	status = tcpx_session_open(&config, session);
	if (status)
		complain("cannot open a session: %s", tcpx_strerror(status));
	return status;
}

json_t *json_from_library(const char *what, text_fn text, void *arg)
{
	json_error_t error;
	json_t *json;
	size_t len = 0;
	char *buf;
	int status = text(arg, NULL, 0, &len);

	if (status && status != TCPX_ENOSPC) {
		complain("%s: %s", what, tcpx_strerror(status));
		return NULL;
	}
	/* Room to grow between the two calls: rails and peers come and go. */
	len += len / 2 + 256;
	buf = malloc(len);
	status = buf ? text(arg, buf, len, &len) : TCPX_ENOMEM;
	if (status) {
		complain("%s: %s", what, tcpx_strerror(status));
		free(buf);
		return NULL;
	}
	json = json_loads(buf, 0, &error);
	if (!json)
		complain("%s is not JSON: %s", what, error.text);
	free(buf);
	return json;
}
