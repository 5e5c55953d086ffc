/* SPDX-License-Identifier: Apache-2.0 */
#include "open.h"

#include "cmd.h"
#include "common/size.h"
#include "log.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Of the library: a rail's connections, a peer's rails. */
#define FLOWS_MAX 16
#define RAILS_MAX 8
#define WINDOW_MAX 1024
#define CHUNK_MIN (64u << 10)
#define CHUNK_MAX (4u << 20)
#define CHUNK_STEP 4096u

#define FIELD(name) offsetof(struct tcpx_config, name)

enum {
	KEY_TRANSPORT = 0x200,
	KEY_FLOWS,
	KEY_CHUNK,
	KEY_WINDOW,
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
	{"channels", KEY_FLOWS, "N", 0, "connections a rail (TCPX_FLOWS)", 0},
	{"flows", 0, NULL, OPTION_ALIAS, NULL, 0},
	{"chunk", KEY_CHUNK, "SIZE", 0,
	 "bytes of one channel operation at most (TCPX_CHUNK_BYTES)", 0},
	{"window", KEY_WINDOW, "N", 0,
	 "chunks in flight a channel at most (TCPX_WINDOW_CHUNKS)", 0},
	{"rails", KEY_RAILS, "N", 0, "rails at most (TCPX_RAILS)", 0},
	{"ifnames", KEY_IFNAMES, "LIST", 0,
	 "interfaces to use, \"eth1,eth2\" or all but some, \"^docker0,lo\" "
	 "(TCPX_IFNAMES)",
	 0},
	{"ifaces", 0, NULL, OPTION_ALIAS, NULL, 0},
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

const char *option_given(const struct argp_state *state, const char *name,
			 const char *arg)
{
	static char text[64];
	const char *last = state->argv[state->next - 1];
	size_t len = strcspn(last, "=");

	/* "--flows 9", or "--flows=9" */
	if (last == arg && state->next >= 2)
		len = strlen(last = state->argv[state->next - 2]);
	if (strncmp(last, "--", 2) == 0 && len < sizeof(text))
		snprintf(text, sizeof(text), "%.*s", (int)len, last);
	else
		snprintf(text, sizeof(text), "--%s", name);
	return text;
}

uint64_t option_number(struct argp_state *state, const char *name,
		       const char *arg, uint64_t min, uint64_t max)
{
	uint64_t n = 0;

	if (number_parse(arg, min, max, &n))
		argp_error(state, "%s %s: a number from %llu to %llu is wanted",
			   option_given(state, name, arg), arg,
			   (unsigned long long)min, (unsigned long long)max);
	return n;
}

static uint32_t number_arg(struct argp_state *state, const char *name,
			   const char *text, uint32_t max)
{
	return (uint32_t)option_number(state, name, text, 1, max);
}

static uint32_t chunk_arg(struct argp_state *state, const char *text)
{
	uint64_t bytes = 0;

	if (size_parse(text, &bytes) || bytes < CHUNK_MIN ||
	    bytes > CHUNK_MAX || bytes % CHUNK_STEP)
		argp_error(state,
			   "--chunk %s: a size from 64K to 4M in steps of 4K "
			   "is wanted",
			   text);
	return (uint32_t)bytes;
}

/* A field of the configuration that is a text, by its place there. The library
 * knows what is allowed; what the environment says is judged later. */
static const char *text_arg(struct argp_state *state, const char *name,
			    size_t field, const char *text)
{
	struct tcpx_config config;
	char why[512];
	size_t len;
	int status;

	(void)!tcpx_config_init(&config, NULL, NULL);
	config.log_fn = log_line;
	config.log_level = TCPX_LOG_ERROR;
	memcpy((char *)&config + field, &text, sizeof(text));
	log_hold();
	status = tcpx_config_json(&config, NULL, 0, &len);
	log_take_error(why, sizeof(why));
	if (status == TCPX_EINVAL)
		argp_error(state, "%s: %s", option_given(state, name, text),
			   why);
	return text;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct session_options *o = state->input;

	switch (key) {
	case KEY_TRANSPORT:
		o->transport =
			text_arg(state, "transport", FIELD(transports), arg);
		return 0;
	case KEY_FLOWS:
		o->n_flows = number_arg(state, "channels", arg, FLOWS_MAX);
		return 0;
	case KEY_CHUNK:
		o->chunk_bytes = chunk_arg(state, arg);
		return 0;
	case KEY_WINDOW:
		o->window_chunks = number_arg(state, "window", arg, WINDOW_MAX);
		return 0;
	case KEY_RAILS:
		o->n_rails = number_arg(state, "rails", arg, RAILS_MAX);
		return 0;
	case KEY_IFNAMES:
		o->ifnames = text_arg(state, "ifnames", FIELD(ifnames), arg);
		return 0;
	case KEY_CHECKSUM:
		o->checksum = true;
		return 0;
	case KEY_SECRET:
		o->secret = text_arg(state, "secret", FIELD(secret), arg);
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
	case 'v':
		options->verbose = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp_child listing_children[] = {{&session_argp, 0, NULL, 10},
					      {0}};
