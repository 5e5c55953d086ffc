/* SPDX-License-Identifier: Apache-2.0 */
/* From what was said to an open session. */
#include "open.h"

#include "cmd.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* All that is wrong with it: errors, then what was only warned of. */
static void complain_environment(void)
{
	const char *line = log_held_error(0);

	for (unsigned i = 0; line; line = log_held_error(++i))
		complain("%s", line);
	log_release_but_errors();
}

static int from_environment(struct tcpx_config *config, bool quiet)
{
	int status;

	memset(config, 0, sizeof(*config));
	config->size_bytes = sizeof(*config);
	log_hold();
	status = tcpx_config_init(config, log_line, NULL);
	if (status || !quiet)
		complain_environment();
	else
		log_drop();
	return status;
}

/* Two sessions of one host: no port of their own, and none of the addresses
 * that this host has for others. */
static void only_here(struct tcpx_config *config)
{
	config->port_first = config->port_last = 0;
	config->bind = config->advertise = NULL;
}

int options_config(const struct session_options *options,
		   struct tcpx_config *config)
{
	int status = from_environment(config, options->quiet);

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
	if (options->chunk_bytes)
		config->chunk_bytes = options->chunk_bytes;
	if (options->window_chunks)
		config->window_chunks = options->window_chunks;
	if (options->loopback)
		only_here(config);
	if (options->port)
		config->port_first = config->port_last = options->port;
	if (options->checksum)
		config->checksum = true;
	if (options->wait == WAIT_BLOCK)
		config->busy_poll_us = 0;
	return status;
}

/* "loop" and "loop-scatter", by commas among others. */
static bool has_loop(const char *transports)
{
	for (const char *at = transports; at && *at;
	     at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (!strncmp(at + strspn(at, " "), "loop", 4))
			return true;
	return false;
}

int options_config_between(const struct session_options *options,
			   struct tcpx_config *config)
{
	int status = options_config(options, config);

	if (status || !has_loop(config->transports))
		return status;
	complain("%s %s: loop and loop-scatter stay inside one process, for "
		 "tests; from one to another go socket and netplugin",
		 options->transport ? "--transport" : "TCPX_TRANSPORTS",
		 config->transports);
	if (options->transport)
		exit(EXIT_USAGE);
	return TCPX_EINVAL;
}

/* What the statuses of tcpx_session_open() mean there. */
static const char *open_error(int status)
{
	switch (status) {
	case TCPX_EINVAL:
		return "a setting is bad";
	case TCPX_EUNREACHABLE:
		return "no usable interface, or the port is taken";
	default:
		return tcpx_strerror(status);
	}
}

int session_open(const struct tcpx_config *config, const char *what,
		 struct tcpx_session **session)
{
	char why[512];
	bool taken;
	int status;

	log_hold();
	status = tcpx_session_open(config, session);
	if (!status) {
		log_release();
		return 0;
	}
	log_take_error(why, sizeof(why));
	taken = config->port_first && strstr(why, strerror(EADDRINUSE));
	complain("%s: %s%s", what, why[0] ? why : open_error(status),
		 taken ? "; another one: --port N or TCPX_PORT" : "");
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
