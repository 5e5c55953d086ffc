/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E2E_REMOTE_H
#define TESTS_E2E_REMOTE_H

/*
 * The test's side of a peerd (see peerd.c): another process with a session,
 * perhaps in another network namespace. What fails here ends the case.
 */

#include "support/proc.h"
#include "support/sess.h"

struct remote {
	struct proc proc;
	uint16_t port;
	char blob[2 * TCPX_BLOB_MAX + 1]; /* in hex */
	uint64_t peer; /* it, as a peer of the test's session */
	uint64_t back; /* the test's session, as a peer of it */
};

/* env: "NAME=value" settings, NULL-ended, or NULL; name is TCPX_NAME. On
 * loopback unless netns is given. */
void remote_start(struct remote *remote, const char *name, const char *netns,
		  const char *const env[]);
/* Connects to it; waits on both sides; fills peer and back. */
void remote_join(struct remote *remote, struct sess *sess);
/* Only connects and waits. Returns the status; peer is filled on success. */
int remote_connect(struct remote *remote, struct sess *sess, int timeout_ms);
/* Memory over there; its handle here, *index its name there. */
uint64_t remote_mem(struct remote *remote, struct sess *sess,
		    uint64_t len_bytes, uint64_t seed, uint32_t access,
		    unsigned int *index);
/* Hands a region of ours over; its handle there. */
uint64_t remote_load(struct remote *remote, struct sess *sess, uint64_t mem);
/* A command that must be answered with ok. */
#define remote_must(remote, ...)                                               \
	remote_check(proc_ask(&(remote)->proc, __VA_ARGS__), remote, __FILE__, \
		     __LINE__)
const char *remote_check(const char *answer, struct remote *remote,
			 const char *file, int line);
/* Ends it properly; it must not have crashed or leaked. */
void remote_end(struct remote *remote);
void remote_kill(struct remote *remote);

#endif
