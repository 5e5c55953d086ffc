/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_DEMO_H
#define TCPX_TOOL_DEMO_H

#include "remote.h"

#include <sys/types.h>

/* What became of the transfer whose peer was killed. */
struct kill_result {
	struct bench_result bench; /* the transfer; its status is never 0 */
	bool held;
	double moved_gigabytes; /* by the time of the kill, as known here */
	double failed_after_ms; /* from the kill to the transfer's end */
	int status; /* the transfer's */
	char cause[192]; /* the transfer's, in words */
	char failure[256]; /* what did not hold; empty if all did */
};

/*
 * Starts a transfer to the victim that would take a minute, kills the
 * victim's process in the middle, and waits for the transfer to fail; then
 * moves some bytes to the survivor, whom it must not have harmed.
 */
void demo_kill(struct remote *victim, pid_t pid, const struct remote *survivor,
	       struct kill_result *result);

#endif
