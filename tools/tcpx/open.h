/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_OPEN_H
#define TCPX_TOOL_OPEN_H

/* Opening a session as the command line says, and the command's other
 * process. Complaints go to stderr here, callers stay silent. */

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <tcpx/p2p.h>

#define TOOL_PORT 7174

enum wait_style {
	WAIT_AUTO = 0, /* calls that wait, with the settings in force */
	WAIT_SPIN, /* calls that do not wait, again and again */
	WAIT_BLOCK, /* calls that wait, no busy polling inside */
};

/* What the command line says about the session. Zero: nothing said. */
struct session_options {
	const char *transport;
	const char *ifnames;
	const char *secret;
	uint32_t n_flows;
	uint32_t n_rails;
	uint32_t chunk_bytes;
	uint32_t window_chunks;
	uint16_t port;
	bool checksum;
	enum wait_style wait;
	bool loopback; /* interface lo, unless something else was said */
	bool quiet; /* another process has said what the environment is */
};

/* For the children of an argp: --transport, --flows, ...; input is a
 * struct session_options. */
extern const struct argp session_argp;

/* The option that arg came with, as it was written: "--flows", where name is
 * "channels"; for complaints. Valid until the next call. */
const char *option_given(const struct argp_state *state, const char *name,
			 const char *arg);

/* The value of such an option, within [min, max]; complains and ends if it is
 * none. */
uint64_t option_number(struct argp_state *state, const char *name,
		       const char *arg, uint64_t min, uint64_t max);

/* What subcommands have that only show something: --json and perhaps
 * --verbose beside a session's options. Parser and children of their argp; input is this struct. */
struct listing_options {
	struct session_options session;
	bool json, verbose;
};
error_t listing_parse(int key, char *arg, struct argp_state *state);
extern const struct argp_child listing_children[];

const char *wait_style_name(enum wait_style wait);
int wait_style_parse(const char *text, enum wait_style *wait); /* 0 or -1 */

/* Defaults, environment, then the options. Returns 0 or a status, having
 * complained; config is complete all the same. */
int options_config(const struct session_options *options,
		   struct tcpx_config *config);
/* The same, for what goes between processes. A --transport that does not is a
 * wrong command line, and ends this one. */
int options_config_between(const struct session_options *options,
			   struct tcpx_config *config);
/* what: "cannot serve", for the complaint. */
int session_open(const struct tcpx_config *config, const char *what,
		 struct tcpx_session **session);

/* A text of the library as JSON; NULL, having complained. */
typedef int (*text_fn)(void *arg, char *buf, size_t cap_bytes,
		       size_t *len_bytes);
json_t *json_from_library(const char *what, text_fn text, void *arg);

/*
 * Starts this program once more as a peer with the same options. To be
 * called while the process has one thread. The blob comes over *fd, which
 * the other process holds open as long as it lives.
 */
int peer_process_start(const struct session_options *options, pid_t *pid,
		       int *fd);
int peer_process_blob(int fd, void *blob, size_t cap_bytes, size_t *len_bytes);
/* Ends it, politely at first; safe for pid <= 0. */
void peer_process_stop(pid_t pid, int fd);

#endif
