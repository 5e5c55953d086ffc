/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_H
#define BOOT_H

/*
 * Connections before they carry anything: one listener a session, the
 * handshake (wire/hello.h) in both roles as a state machine that resumes on
 * short reads and writes, deadlines, and a bound on half-open connections.
 * A finished one is handed over as a non-blocking file descriptor with what
 * both sides learned; boot knows nothing of peers or channels.
 *
 * Threads: boot_run() is the session's control thread's alone, and all ops
 * are called from it. boot_connect(), boot_cancel() and boot_wake() may be
 * called from any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wire/blob.h"
#include "wire/hello.h"

struct boot;
struct log;

struct boot_params {
	const struct log *log;
	uint8_t session[SESSION_ID_BYTES];
	uint8_t secret[SECRET_BYTES]; /* of our connection blob */
	const char *shared_secret; /* NULL: host:port is refused */
	const char *name;
	const char *bind; /* listen address; NULL: all, v6 and v4 */
	uint16_t port_first, port_last; /* 0: any free port */
	struct wire_limits limits;
	const char *transports;
	const struct wire_rail *rails; /* advertised; ports are filled in by
					   boot_open() where they are 0 */
	uint32_t n_rails;
	uint32_t max_half_open;
	uint32_t timeout_ms; /* of one handshake */
};

/* What a finished handshake gives. */
struct boot_result {
	int fd; /* non-blocking, TCP_NODELAY; the taker's */
	bool incoming;
	enum hello_purpose purpose;
	uint8_t session[SESSION_ID_BYTES]; /* the other side's */
	char name[TCPX_NAME_MAX];
	struct wire_limits limits; /* negotiated (CONTROL) */
	char transports[64]; /* what the other side allows */
	uint64_t token; /* CONTROL: given with the verdict; FLOW, RESUME:
				   named by the connector */
	uint32_t rail, flow; /* FLOW */
	uint32_t generation; /* FLOW, RESUME */
	uint32_t n_rails;
	struct wire_rail rails[BLOB_RAILS_MAX]; /* the other side's */
	struct net_addr local, remote; /* of the connection */
};

struct boot_ops {
	/*
	 * An incoming connection has proved itself: take it? For CONTROL set
	 * *token. 0, or a negative status, sent to the connector with why
	 * (TCPX_EBUSY: we are connected already).
	 */
	int (*admit)(void *arg, const struct boot_result *result,
		     uint64_t *token, char *why, size_t cap_bytes);
	/* It is ready. Takes the fd. For each admit() that said 0 either this
	 * or, if the connection broke in between, dropped() is called. */
	void (*accepted)(void *arg, const struct boot_result *result);
	void (*dropped)(void *arg, const struct boot_result *result);
	/*
	 * A boot_connect() came to its end: status 0 and result (takes the
	 * fd), or why not. TCPX_EREFUSED, TCPX_EUNREACHABLE (no route, no
	 * such name, no answer), TCPX_ELIVENESS (it accepts, but does not
	 * speak), TCPX_ECLOSED, TCPX_EAUTH, TCPX_EVERSION, TCPX_EPROTO,
	 * TCPX_ENOENT (another session listens there), TCPX_ECANCELED, or
	 * what the listener's admit() said.
	 */
	void (*connected)(void *arg, uint64_t cookie, int status,
			  const char *cause, const struct boot_result *result);
	/*
	 * A boot_connect() for CONTROL or RESUME has learned whom it talks to
	 * (result: session and name, proved), and has not proved itself yet. 0:
	 * go on; a status ends it with that, and the listener is told that it
	 * is no failure. NULL: always go on.
	 */
	int (*met)(void *arg, uint64_t cookie,
		   const struct boot_result *result);
};

struct boot_target {
	enum hello_purpose purpose;
	enum hello_key key;
	uint8_t secret[SECRET_BYTES]; /* HELLO_KEY_BLOB: the listener's */
	uint8_t session[SESSION_ID_BYTES]; /* zeros: whoever listens there */
	struct net_addr addr;
	const char *host; /* instead of addr: "name:port", copied; resolved
				   without holding the control thread up */
	struct net_addr bind_addr; /* family 0 or the local address to leave from
				       (its port is ignored) */
	uint64_t token; /* FLOW, RESUME */
	uint32_t rail, flow, generation;
	bool once; /* whatever comes of the first attempt is the end of it */
};

/* TCPX_EUNREACHABLE: no such address, or no port of the range is free (the
 * log says which); TCPX_ENFILE, TCPX_ENOMEM. */
int boot_open(const struct boot_params *params, const struct boot_ops *ops,
	      void *arg, struct boot **boot);
/* Closes the listener and everything half-open; no op is called any more. */
void boot_close(struct boot *boot);
uint16_t boot_port(const struct boot *boot);

/* Returns 0 (connected() will follow, once, even after boot_cancel) or a
 * status, then nothing follows: TCPX_EINVAL (a bad host:port, or
 * HELLO_KEY_SHARED without a shared secret), TCPX_ENOMEM. Refused and broken
 * connections are tried again every 50 ms to 1 s until timeout_ms (0: that of
 * the params), unless target->once; a refused verdict, a wrong proof, an unknown name are final. */
int boot_connect(struct boot *boot, const struct boot_target *target,
		 uint64_t cookie, uint32_t timeout_ms);
void boot_cancel(struct boot *boot, uint64_t cookie);

/* One round: waits up to timeout_ms (-1: none) for something, handles it,
 * runs deadlines. */
void boot_run(struct boot *boot, int timeout_ms);
void boot_wake(struct boot *boot);

#endif
