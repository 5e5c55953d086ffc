/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_SERVE_H
#define TCPX_TOOL_SERVE_H

#include <stdbool.h>
#include <tcpx/p2p.h>

/*
 * The serving side of perf and demo: does what clients ask for (message.h),
 * one client after the other, until keep_on says no. It is asked every
 * look_every_ms, except while a case is running.
 */
struct server {
	struct tcpx_session *session;
	bool (*keep_on)(void *arg);
	void *arg;
	int look_every_ms;
	bool talkative; /* a line on stdout for each client and case */
};

void serve(const struct server *server);

#endif
